/* What the fuzzers share.  Each is a function that libFuzzer calls with made-up bytes
 * (https://llvm.org/docs/LibFuzzer.html); a sanitizer's report or a broken promise ends it. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise of the code under test. */
#define promise(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The bytes as a string in memory of exactly its size; ends at a NUL byte among them. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    const void *nul = size > 0 ? memchr(data, 0, size) : NULL;

    return xstrndup((const char *)data, nul ? (size_t)((const uint8_t *)nul - data) : size);
}
