/* Recognising the detach keys in what a terminal user types. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

struct detach {
    uint32_t len; /* of keys; 0: nothing is looked for */
    uint32_t at;  /* keys seen so far: held back until it is clear that they are typed text */
    uint8_t keys[SHIM_DETACH_KEYS_MAX];
};

void detach_init(struct detach *d, const uint8_t *keys, uint32_t len);
/* Pass len typed bytes; what the program shall get goes to out, which has room for
 * len + SHIM_DETACH_KEYS_MAX; *ret_out is its length.  True: the keys are complete. */
bool detach_feed(struct detach *d, const char *in, size_t len, char *out, size_t *ret_out);
