/* Capabilities of the process to be. */
#pragma once

#include <stdint.h>

/* Take everything out of the bounding set that is not in mask.  While CAP_SETPCAP is there. */
int caps_bound(uint64_t mask);
/* Permitted = effective, inheritable, then ambient (which needs both).  What this process does
 * not have is left out. */
int caps_apply(uint64_t permitted, uint64_t inheritable, uint64_t ambient);
