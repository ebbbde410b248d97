/* Networks as elements of the ruleset's sets. */
#pragma once

#include "inet4.h"
#include "inet6.h"
#include "netlink.h"

struct member {
    const char *bridge;
    struct inet4 subnet;  /* any address in it */
    struct inet6 subnet6; /* prefix 0: none */
    bool internal, icc, masquerade;
};

/* Those of the batch's family: append requests that put a network into the sets, or take it out. */
void members_put(struct nl_batch *batch, const char *table, const struct member *member,
                 bool deletes);
/* All families that it has, each in one transaction.  fd: NETLINK_NETFILTER.  -ENOENT if the table
 * is gone. */
int members_add(int fd, const char *table, const struct member *member, struct err *reterr);
/* One that is not there is success. */
int members_delete(int fd, const char *table, const struct member *member, struct err *reterr);
