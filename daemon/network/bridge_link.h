/* Making a bridge, apart from bridge.c because libnl's names are the kernel's, as ours are. */
#pragma once

#include <stdint.h>

#include "err.h"
#include "inet4.h"

/* A new bridge that is up and has the address.  Start-up only: blocks for milliseconds. */
int bridge_link_create(const char *name, const uint8_t mac[MAC_LEN], uint32_t mtu,
                       const struct inet4 *address, struct err *reterr);
