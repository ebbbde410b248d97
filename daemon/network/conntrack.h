/* Forgetting connections: UDP flows live in conntrack as long as packets come, and keep going to
 * where the first packet went (moby#8795). */
#pragma once

#include <stdint.h>

#include "err.h"
#include "leases.h"

/* Delete the UDP entries that lead to a container (NAT to its address), so that its clients reach
 * whoever is published next.  fd: NETLINK_NETFILTER. */
int conntrack_forget_container(int fd, uint32_t address, struct err *reterr);
int conntrack_forget_container6(int fd, const uint8_t address[16], struct err *reterr);

/* Delete the UDP entries to a published port that were made while nothing was published there,
 * in each family that the port is in. */
int conntrack_forget_port(int fd, const struct port_lease *lease, struct err *reterr);
