/* Sizes as users write them: "10m", "1.5 GiB". */
#pragma once

#include <stdint.h>

#include "err.h"

/* go-units' RAMInBytes: number, optional blank, k m g t p (binary), optional b or ib.  0, or
 * -EINVAL with a message. */
int bytesize_parse(const char *s, int64_t *ret, struct err *reterr);
