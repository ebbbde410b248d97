/* Asking systemd for a unit: D-Bus over its private socket, which needs no bus and is root's alone
 * (systemctl and runc go the same way).  libsystemd is loaded when it is first needed: only a
 * daemon with the cgroup driver "systemd" pays for it.  All of it may wait: for pool threads, and
 * the start. Source: org.freedesktop.systemd1(5). */
#pragma once

#include <sys/types.h>

#include "err.h"

/* 0 if systemd is this host's init and answers. */
int unit_check(struct err *reterr);

/* A transient scope in the slice with this process, its cgroup delegated.  Returns as soon as
 * systemd has agreed, which is before the process is there.  -EEXIST: there is a unit of that name
 * (still). */
int unit_start_scope(const char *name, const char *slice, const char *description, pid_t pid,
                     struct err *reterr);
/* Forget a unit that failed, stop one that is there; best effort. */
void unit_stop(const char *name);
