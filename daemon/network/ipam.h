/* Gives out the addresses of one network, round-robin after the last one given, so that an address
 * is not used again at once.  The table `addresses` decides who has what; this only remembers where
 * to try next.  Typically one INSERT.  Loop thread only. */
#pragma once

#include "db.h"
#include "inet4.h"

struct ipam;

/* network: its name in the table.  gateway: the bridge's address and prefix, never given out.
 * db is borrowed and must outlive the object. */
int ipam_new(struct db *db, const char *network, const struct inet4 *gateway, struct ipam **ret,
             struct err *reterr);
/* Give out addresses of range only (prefix 0: of the whole subnet), and never those of reserved[n]
 * (copied); for wanted ones neither matters but the reservation. */
void ipam_restrict(struct ipam *ipam, const struct inet4 *range, const uint32_t *reserved,
                   size_t n);
void ipam_free(struct ipam *ipam);
DEFINE_FREEP(struct ipam *, ipam_free)

/* Lend an address to a container; wanted 0: any.  Runs inside the caller's transaction if there is
 * one.  A container keeps the one it has already.  ERR_UNAVAILABLE when all are taken;
 * ERR_FORBIDDEN "Address already in use", ERR_INVALID out of range for a wanted one. */
int ipam_take(struct ipam *ipam, const char *container_id, uint32_t wanted, uint32_t *ret,
              struct err *reterr);
/* Give back what the container has on this network; nothing is success. */
int ipam_release(struct ipam *ipam, const char *container_id, struct err *reterr);
