/* --network and its companions. */
#pragma once

#include "commands.h"

int run_network_add(json_t **body, const struct run_options *o, struct err *reterr);
