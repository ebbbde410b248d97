/* The end of the host.  At the end of a shutdown systemd tells every process to end, waits (by
 * default 90 s) and kills what is left.  A container gets what `stop` gives it: its own signal, and
 * SIGKILL at its own time, so that programs that do not listen hold nobody up.  It counts as ended
 * by itself: its restart policy brings it back. */
#pragma once

#include <signal.h>
#include <stdint.h>
#include <sys/signalfd.h>

/* One that has arrived; only a SIGTERM of PID 1 means this. */
void shutdown_on_signal(const struct signalfd_siginfo *info, const void *plan);
/* ms until it must be called again, -1: nothing is due. */
int shutdown_tick(int64_t now_ms);
