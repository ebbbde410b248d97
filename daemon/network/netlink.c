#include "netlink.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"

#define RECEIVE_MAX 32768 /* the kernel fills dumps up to this */
#define SEND_BUFFER_DEFAULT 131072
#define TIMEOUT_S 10

void nl_batch_done(struct nl_batch *batch)
{
    buf_done(&batch->bytes);
}

static struct nlmsghdr *current(struct nl_batch *batch)
{
    return (struct nlmsghdr *)(batch->bytes.data + batch->current);
}

/* The last request got its length while it was filled; count it in. */
static void seal(struct nl_batch *batch)
{
    if (batch->n > 0)
        batch->bytes.len = batch->current + MNL_ALIGN(current(batch)->nlmsg_len);
}

struct nlmsghdr *nl_request(struct nl_batch *batch, const char *what, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *nlh;

    seal(batch);
    nlh = mnl_nlmsg_put_header(buf_reserve(&batch->bytes, NL_REQUEST_MAX));
    batch->current = batch->bytes.len;
    nlh->nlmsg_type = type;
    nlh->nlmsg_flags = flags | NLM_F_REQUEST;
    nlh->nlmsg_seq = batch->n; /* made unique by nl_run() */
    if (batch->n < NL_WHAT_MAX)
        batch->what[batch->n] = what;
    batch->n++;
    /* NLM_F_DUMP is two bits, of which creating requests use one for NLM_F_EXCL. */
    if ((flags & NLM_F_ACK) || (flags & NLM_F_DUMP) == NLM_F_DUMP)
        batch->n_acks++;
    return nlh;
}

void nl_ask_ack(struct nl_batch *batch)
{
    current(batch)->nlmsg_flags |= NLM_F_ACK;
    batch->n_acks++;
}

int nl_open(int protocol)
{
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    struct sockaddr_nl local = {.nl_family = AF_NETLINK};
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    int on = 1;

    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&local, sizeof(local)) < 0)
        return -errno;
    /* Failing requests are not echoed (they may be large), but explained. */
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return TAKE_FD(fd);
}

static int send_all(int fd, struct nl_batch *batch, uint32_t first_seq)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    size_t len = batch->bytes.len;

    for (size_t at = 0; at < len;) {
        struct nlmsghdr *nlh = (struct nlmsghdr *)(batch->bytes.data + at);

        nlh->nlmsg_seq += first_seq;
        at += MNL_ALIGN(nlh->nlmsg_len);
    }
    if (len > SEND_BUFFER_DEFAULT) {
        int size = (int)len + SEND_BUFFER_DEFAULT;

        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    }
    if (sendto(fd, batch->bytes.data, len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return -errno;
    return 0;
}

/* NLMSGERR_ATTR_MSG of an error reply, or NULL. */
static const char *explanation(const struct nlmsghdr *nlh)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
    size_t offset = sizeof(*e);
    const struct nlattr *attr;

    if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
        return NULL;
    if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
        offset += e->msg.nlmsg_len - sizeof(e->msg);
    if (mnl_nlmsg_get_payload_len(nlh) < offset)
        return NULL;
    mnl_attr_for_each(attr, nlh, offset)
    {
        if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
            mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
            return mnl_attr_get_str(attr);
    }
    return NULL;
}

struct run {
    struct nl_batch *batch;
    uint32_t first_seq;
    uint32_t acks_left;
    int result; /* the first failure */
    nl_reply_fn fn;
    void *userdata;
    struct err *reterr;
};

static void fail(struct run *run, uint32_t index, int errnum, const char *why)
{
    const char *what = run->batch->what[index < NL_WHAT_MAX ? index : NL_WHAT_MAX - 1];

    if (run->result < 0)
        return;
    run->result = why ? err_sys(run->reterr, errnum, "%s: %s", what, why)
                      : err_sys(run->reterr, errnum, "%s", what);
}

/* An acknowledgement, an error, or the end of a dump. */
static void handle_status(struct run *run, const struct nlmsghdr *nlh, uint32_t index)
{
    const int *status = mnl_nlmsg_get_payload(nlh); /* in both kinds the first member */
    int error = mnl_nlmsg_get_payload_len(nlh) >= sizeof(*status) ? *status : 0;

    if (error < 0)
        fail(run, index, -error, nlh->nlmsg_type == NLMSG_ERROR ? explanation(nlh) : NULL);
    if (run->acks_left > 0)
        run->acks_left--;
}

static void handle(struct run *run, const struct nlmsghdr *nlh)
{
    uint32_t index = nlh->nlmsg_seq - run->first_seq;

    if (index >= run->batch->n)
        return; /* left over from an exchange that was given up */
    if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
        handle_status(run, nlh, index);
    } else if (run->fn && run->result >= 0) {
        int r = run->fn(nlh, run->userdata);

        if (r < 0)
            fail(run, index, -r, NULL);
    }
}

/* The kernel has carried out every request when sendmsg(2) returns, so what is there can be read
 * without waiting; only dumps go on while they are read. */
static int receive_all(int fd, struct run *run)
{
    _cleanup_free_ char *data = xmalloc(RECEIVE_MAX);

    while (run->acks_left > 0) {
        ssize_t n = recv(fd, data, RECEIVE_MAX, 0);
        int len = (int)n;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int errnum = errno == EAGAIN ? ETIMEDOUT : errno;

            fail(run, 0, errnum, "no reply from the kernel");
            return -errnum;
        }
        for (const struct nlmsghdr *nlh = (const struct nlmsghdr *)data; mnl_nlmsg_ok(nlh, len);
             nlh = mnl_nlmsg_next(nlh, &len))
            handle(run, nlh);
        /* A failed batch answers for what failed, perhaps not for the rest. */
        if (run->result < 0)
            return run->result;
    }
    return run->result;
}

/* Throw away what the kernel still said about a batch that failed. */
static void drain(int fd)
{
    char byte;

    while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) >= 0)
        ;
}

int nl_run(int fd, struct nl_batch *batch, nl_reply_fn fn, void *userdata, struct err *reterr)
{
    static atomic_uint next_seq = 1;
    struct run run = {.batch = batch,
                      .acks_left = batch->n_acks,
                      .fn = fn,
                      .userdata = userdata,
                      .reterr = reterr};
    int r;

    seal(batch);
    run.first_seq = atomic_fetch_add(&next_seq, batch->n);
    r = send_all(fd, batch, run.first_seq);
    if (r < 0)
        fail(&run, 0, -r, NULL);
    else if (receive_all(fd, &run) < 0)
        drain(fd);
    buf_consume(&batch->bytes, buf_size(&batch->bytes));
    batch->n = batch->n_acks = 0;
    return run.result;
}
