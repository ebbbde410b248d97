/* Counters of network interfaces, read through a process of theirs: no network namespace is
 * entered.  Source: proc(5), /proc/pid/net/dev. */
#pragma once

#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NETDEV_MAX 64              /* interfaces of a container that are told */
#define NETDEV_TEXT_MAX (24 << 10) /* of the file: room for so many with all their digits */

enum netdev_counter {
    NETDEV_RX_BYTES,
    NETDEV_RX_PACKETS,
    NETDEV_RX_ERRORS,
    NETDEV_RX_DROPPED,
    NETDEV_TX_BYTES,
    NETDEV_TX_PACKETS,
    NETDEV_TX_ERRORS,
    NETDEV_TX_DROPPED,
    NETDEV_COUNTERS,
};

extern const char *const netdev_names[NETDEV_COUNTERS]; /* "rx_bytes" */

struct netdev {
    char name[IFNAMSIZ]; /* any bytes but '/' and white space: a container chooses them */
    uint64_t counters[NETDEV_COUNTERS];
};

/* A process's file that may stay open.  While it is, its network namespace lives: close it when
 * the process has ended. */
struct netdev_file {
    pid_t pid;
    int fd; /* owned; < 0: closed */
};
#define NETDEV_CLOSED ((struct netdev_file){.fd = -EBADF})
void netdev_close(struct netdev_file *file);

/* Those of the process's network namespace but lo, at most max.  The file is opened if it is not
 * open for this process, and left open.  How many, or -errno.  Any thread, one at a time. */
int netdev_read(struct netdev_file *file, pid_t pid, struct netdev *ret, size_t max);
/* The same of the file's text, which is taken apart. */
int netdev_parse(char *text, struct netdev *ret, size_t max);
