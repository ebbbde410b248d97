/* Links that were put into a container's network namespace while their lower one stayed outside:
 * macvlan.  Nothing on the host names them, so they are deleted from inside, where their names and
 * addresses are the container's to change; their index is not.
 * Source: rtnetlink(7), SIOCGSKNS in the kernel's net/socket.c (Linux 4.10). */
#pragma once

#include <stdint.h>

/* Ours have an index from here on, far above those that the kernel gives. */
#define NETLINKS_FIRST (UINT32_C(1) << 30)

/* Delete those of the network namespace that sock was made in: when its container has ended, as the
 * namespace may live on, and they would go on answering for addresses that others have by then.
 * Returns how many there were, or -errno.  Any thread, which visits the namespace; some 20 ms for
 * each, a fraction of one if there is none. */
int netlinks_delete(int sock);
