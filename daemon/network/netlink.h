/* Netlink requests in batches: several messages in one sendmsg(2), then all acknowledgements.
 *
 * Used for rtnetlink, nf_tables and ctnetlink alike; libmnl builds and parses the messages, and
 * nothing is allocated per message, which libnl would do on the path of every container start. */
#pragma once

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* Room for one request with its attributes. */
#define NL_REQUEST_MAX 4096
#define NL_WHAT_MAX 32

struct nl_batch {
    struct buf bytes;              /* all requests, the last one still growing */
    size_t current;                /* where the last request starts */
    uint32_t n;                    /* requests so far */
    uint32_t n_acks;               /* of these, to be acknowledged */
    uint8_t family;                /* of nf_tables requests (nft_family()); 0: IPv4 */
    const char *what[NL_WHAT_MAX]; /* borrowed; names requests in error messages */
};

#define _cleanup_nl_batch_ _cleanup_(nl_batch_done)
void nl_batch_done(struct nl_batch *batch);

/* Begin a request; what names it in errors ("create veth pair").  The result, to be filled with
 * mnl_nlmsg_put_extra_header() and mnl_attr_put*(), is valid until the next request begins.
 * NLM_F_REQUEST is added to flags. */
struct nlmsghdr *nl_request(struct nl_batch *batch, const char *what, uint16_t type,
                            uint16_t flags);

/* Ask for an acknowledgement of the latest request. */
void nl_ask_ack(struct nl_batch *batch);

/* Called for each reply that is no acknowledgement; < 0 becomes the result of nl_run(). */
typedef int (*nl_reply_fn)(const struct nlmsghdr *reply, void *userdata);

/* Socket for NETLINK_ROUTE or NETLINK_NETFILTER; fd or -errno. */
int nl_open(int protocol);

/* Send all requests, read until each one that asked for it (NLM_F_ACK, NLM_F_DUMP) is
 * acknowledged.  0, or the first failure, with the kernel's own explanation where it gives one.
 * The batch is empty afterwards.  One thread at a time per socket. */
int nl_run(int fd, struct nl_batch *batch, nl_reply_fn fn, void *userdata, struct err *reterr);
