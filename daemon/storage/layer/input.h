/* The archive on standard input, read by a thread of its own into a ring. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring.h"

struct input {
    struct ring *ring;     /* borrowed */
    int keep_fd;           /* borrowed: gets a copy; < 0: none */
    int follow_fd;         /* borrowed: eventfd of layer_protocol.h; < 0: read until EOF */
    int stop_fd;           /* borrowed: readable when nobody wants the input any more */
    int64_t max;           /* bytes; more is an error */
    int64_t valid;         /* following: bytes that are there */
    bool whole;            /* following: and are all */
    _Atomic int64_t bytes; /* that were read; any thread may look */
};

/* Until the end, an error or ring_stop() with a readable stop_fd; ends the ring. */
void input_run(struct input *in);
