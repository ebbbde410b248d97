/* Framing of multiplexed output (logs, attach and exec without a terminal): before each payload an
 * 8-byte head, the stream's number, three zero bytes, and the payload's length big-endian. */
#pragma once

#include <stdint.h>

#define FRAME_HEAD_LEN 8

enum frame_stream {
    FRAME_STDIN = 0, /* counts as stdout */
    FRAME_STDOUT = 1,
    FRAME_STDERR = 2,
    FRAME_SYSTEM = 3, /* an error text: the client stops */
};

static inline void frame_head_encode(uint8_t head[FRAME_HEAD_LEN], enum frame_stream stream,
                                     uint32_t len)
{
    head[0] = (uint8_t)stream;
    head[1] = head[2] = head[3] = 0;
    head[4] = (uint8_t)(len >> 24);
    head[5] = (uint8_t)(len >> 16);
    head[6] = (uint8_t)(len >> 8);
    head[7] = (uint8_t)len;
}

static inline uint32_t frame_head_len(const uint8_t head[FRAME_HEAD_LEN])
{
    return (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 | (uint32_t)head[6] << 8 | head[7];
}
