/* Creating a container as run and create do. */
#pragma once

#include "commands.h"

/* Build and send the request, pull the image if need be, print the daemon's warnings, write the
 * cidfile.  *ret_id is the new container's, to be freed. */
int create_container(struct invocation *inv, char **ret_id, struct err *reterr);
