/* Base64 (RFC 4648). */
#pragma once

#include <stddef.h>

/* With the standard alphabet, padded; caller frees. */
char *base64_encode(const void *data, size_t len);
/* Either alphabet, padding optional; NULL if it is none.  ret_len may be NULL; NUL-terminated. */
char *base64_decode(const char *text, size_t *ret_len);
