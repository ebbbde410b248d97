/* What a slow client has not read yet, in an unlinked file: no memory of ours, no blocked logger.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SPILL_MAX (UINT64_C(64) << 20) /* beyond it the container's output is not read on */

struct spill {
    int fd; /* owned; -EBADF while nothing was ever spilled */
    uint64_t head, tail;
};

#define SPILL_INIT ((struct spill){.fd = -EBADF})

void spill_done(struct spill *s);
static inline uint64_t spill_size(const struct spill *s)
{
    return s->tail - s->head;
}

/* Append; the file is made in the directory dirfd (or in memory when it cannot be). 0 or -errno:
 * then nothing was appended. */
int spill_put(struct spill *s, int dirfd, const void *data, size_t len);
/* Send from the front until all is sent or the socket is full.  Bytes sent (0: full), or -errno. */
ssize_t spill_drain(struct spill *s, int sock);
