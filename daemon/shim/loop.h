/* One epoll instance and a handful of deadlines: everything that the shim waits for.
 *
 * A watch is embedded in its owner's static memory.  Callbacks may remove any watch, their own
 * included; events already fetched for a removed one are dropped.
 */
#pragma once

#include <stdint.h>
#include <sys/epoll.h>

struct watch {
    int fd;          /* borrowed; -EBADF: not in use */
    uint32_t events; /* what epoll knows; 0: not registered */
    void (*fn)(void *arg, uint32_t events);
    void *arg;
};

#define WATCH_INIT ((struct watch){.fd = -EBADF})

int loop_init(void); /* 0 or -errno */

void watch_init(struct watch *w, int fd, void (*fn)(void *arg, uint32_t events), void *arg);
/* Wait for these events (EPOLLIN...); 0 removes the descriptor from epoll, so that not even
 * EPOLLHUP comes; EPOLLHUP alone waits for nothing else. */
void watch_set(struct watch *w, uint32_t events);
/* Forget the descriptor (before the owner closes it). */
void watch_done(struct watch *w);

/* Wait for at most timeout_ms (-1: for ever) and run the callbacks; 0 or -errno. */
int loop_run_once(int timeout_ms);
