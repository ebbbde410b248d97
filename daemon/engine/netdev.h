/* Counters of network interfaces, read through a process of theirs: no network namespace is
 * entered.  Source: proc(5), /proc/pid/net/dev. */
#pragma once

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NETDEV_MAX 64 /* interfaces of a container that are told */
#define NETDEV_TEXT_MAX (256 << 10)

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

/* Those of the process's network namespace but lo, at most max.  How many, or -errno.  Any thread.
 */
int netdev_read(pid_t pid, struct netdev *ret, size_t max);
/* The same of the file's text, which is taken apart. */
int netdev_parse(char *text, struct netdev *ret, size_t max);
