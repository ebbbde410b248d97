/* The service manager that started us, by its documented protocols alone (sd_notify(3),
 * sd_listen_fds(3), which promise that they stay as they are): the library would bring
 * seven others into a daemon that has to stay small. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MANAGER_FDS_START 3

/* Sockets passed to this process, as MANAGER_FDS_START and the following; O_CLOEXEC from now on,
 * and no child is told of them.  0 if there are none. */
int manager_sockets(void);

/* Is fd a listening Unix stream socket? */
bool manager_is_listening(int fd);

/* Microseconds within which the manager wants to hear "WATCHDOG=1" again and again, 0: it does not.
 * No child is told. */
int64_t manager_watchdog_us(void);

/* "READY=1", "STOPPING=1"; silently nothing without a manager that wants to know. */
void manager_notify(const char *state);
