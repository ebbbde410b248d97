/* Frames of the WebSocket protocol (RFC 6455, 5) as a server reads and writes them.  Pure: bytes
 * in, events out; nothing is collected but the payload of control frames. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WS_FRAME_MAX (16u << 20) /* bytes of payload that a client may put into one frame */
#define WS_CONTROL_MAX 125       /* of a control frame: the protocol's own limit */
#define WS_HEAD_MAX 14

enum ws_op {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

/* Status codes of a close frame (RFC 6455, 7.4.1). */
enum ws_status { WS_NORMAL = 1000, WS_GOING_AWAY = 1001, WS_PROTOCOL = 1002, WS_TOO_BIG = 1009 };

/* All zero at the beginning. */
struct ws_reader {
    uint8_t head[WS_HEAD_MAX];
    size_t n_head;   /* of a head that is not whole yet */
    bool in_frame;   /* its head has been read */
    bool in_message; /* a message is not complete */
    enum ws_op op;   /* of the frame */
    uint8_t mask[4];
    uint64_t at, len; /* of the frame's payload */
    uint8_t control[WS_CONTROL_MAX];
};

struct ws_event {
    enum { WS_EVENT_NONE, WS_EVENT_DATA, WS_EVENT_CONTROL } kind;
    enum ws_op op;       /* of a control frame */
    const uint8_t *data; /* within what was given, or in the reader */
    size_t len;
};

/* Take some of the bytes, at least one, unmasking them in place, and tell at most one event.  The
 * number taken; -EPROTO: no frame that a client may send, -EMSGSIZE: one that is too long; nothing
 * may be read after that. */
ssize_t ws_read(struct ws_reader *r, uint8_t *data, size_t len, struct ws_event *ret);

/* The head of a whole message; its length (at most 10). */
size_t ws_head(uint8_t ret[WS_HEAD_MAX], enum ws_op op, size_t len);
