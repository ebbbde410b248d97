/* Columns of `ps` that other commands show too. */
#pragma once

#include <jansson.h>

/* The PORTS column of a list of ports; the caller frees. */
char *ps_ports(const json_t *list);
/* "a=b,c=d"; the caller frees. */
char *ps_labels(json_t *labels);
