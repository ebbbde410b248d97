/* What the ways to show the list of images share. */
#pragma once

#include "cli.h"

/* GET /images/json with the options and the argument of `images`; owned by the caller. */
int images_fetch(struct invocation *inv, json_t **ret, struct err *reterr);
/* Print it as --tree does. */
int images_tree(struct invocation *inv, struct err *reterr);
