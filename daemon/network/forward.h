/* Beside firewalls that drop what they do not know: a packet that our table lets pass still has to
 * pass every other chain of the forward hook.  Of those the FORWARD chain of iptables is dealt
 * with, as dockerd and ufw set its policy to drop: one rule at its end, behind all that others
 * decide there, accepts what carries our mark in place of the policy.  Both iptables: that of
 * nf_tables and the older one, whose tables are not in nf_tables at all. */
#pragma once

#include <stdbool.h>

#include "err.h"

/* A bit of the packet's mark, from our forward chain to the end of the forward hook.  The lowest
 * that neither Kubernetes (0xc000), Tailscale (0xff0000) nor Calico (0xffff0000) uses. */
#define FORWARD_MARK 0x1000u

/* Put the rule where a policy drops and it is not there yet.  1 if one was put, 0 if none was
 * needed.  fd: NETLINK_NETFILTER.  Blocks for a moment; any thread. */
int forward_settle(int fd, struct err *reterr);

/* The same for the older iptables, of family AF_INET or AF_INET6; nothing is loaded for it.
 * xtables.c. */
int xtables_settle(int family, struct err *reterr);
