#include "sendlog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "plan.h"
#include "text.h"

#define HEAD_MAX 1024
#define DATAGRAM "udp:"
#define STREAM "tcp:"
#define RETRY_MS 1000 /* a logger that cannot be reached is not tried again before */
#define GONE_MS 20000 /* what it has not acknowledged by then ends a connection */
#define SEVERITY_ERR 3
#define SEVERITY_INFO 6

static struct {
    int fd;
    const struct plan_op *op;
    uint64_t dropped;
    bool hangs; /* waited for in vain: not again for what was read together */
    int64_t retry_ms;
} sl = {.fd = -EBADF};

static struct {
    size_t len;
    char part[SENDLOG_LINE_MAX];
} streams[2];

/* The end of a line that a connection took only in part. */
static struct {
    size_t at, len;
    char data[HEAD_MAX + SENDLOG_LINE_MAX + 1];
} rest;

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static bool is_stream(void)
{
    return strncmp(plan_str(sl.op, 0), STREAM, strlen(STREAM)) == 0;
}

/* "/path", or "udp:ADDRESS:PORT" or "tcp:ADDRESS:PORT" with a numeric address. */
static socklen_t parse_address(const char *text, union address *ret)
{
    char host[INET6_ADDRSTRLEN];
    const char *port = strrchr(text, ':');
    size_t n;

    memset(ret, 0, sizeof(*ret));
    if (*text == '/') {
        n = strlen(text);
        if (n >= sizeof(ret->un.sun_path))
            return 0;
        ret->un.sun_family = AF_UNIX;
        memcpy(ret->un.sun_path, text, n + 1);
        return sizeof(ret->un);
    }
    text += strlen(DATAGRAM);
    n = port > text ? (size_t)(port - text) : 0;
    if (n == 0 || n >= sizeof(host))
        return 0;
    memcpy(host, text, n);
    host[n] = '\0';
    if (inet_pton(AF_INET, host, &ret->in.sin_addr) == 1) {
        ret->in.sin_family = AF_INET;
        ret->in.sin_port = htons((uint16_t)atoi(port + 1));
        return sizeof(ret->in);
    }
    if (inet_pton(AF_INET6, host, &ret->in6.sin6_addr) != 1)
        return 0;
    ret->in6.sin6_family = AF_INET6;
    ret->in6.sin6_port = htons((uint16_t)atoi(port + 1));
    return sizeof(ret->in6);
}

/* The handshake of a connection, no longer than a full logger may hold up. */
static int finish_connect(void)
{
    struct pollfd p = {.fd = sl.fd, .events = POLLOUT};
    socklen_t len = sizeof(int);
    int error = 0;

    if (poll(&p, 1, SENDLOG_WAIT_MS) <= 0)
        return -ETIMEDOUT;
    return getsockopt(sl.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno : -error;
}

static int open_socket(const union address *a, socklen_t len, bool stream)
{
    int type = stream ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_DGRAM, size = (int)sl.op->arg[2];
    unsigned gone = GONE_MS;

    sl.fd = socket(a->any.sa_family, type | SOCK_CLOEXEC, 0);
    if (sl.fd < 0)
        return -errno;
    if (size > 0)
        setsockopt(sl.fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    if (stream)
        setsockopt(sl.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone, sizeof(gone));
    if (connect(sl.fd, &a->any, len) < 0)
        return errno == EINPROGRESS ? finish_connect() : -errno;
    return 0;
}

static int connect_logger(void)
{
    union address a;
    socklen_t len = parse_address(plan_str(sl.op, 0), &a);
    bool stream = is_stream();
    int r;

    sl.fd = fd_close(sl.fd);
    sl.dropped += rest.len > 0;
    rest.len = 0;
    if (len == 0)
        return -EINVAL;
    if (stream && clock_mono_ms() < sl.retry_ms)
        return -EAGAIN;
    r = open_socket(&a, len, stream);
    if (r < 0) {
        sl.fd = fd_close(sl.fd);
        sl.retry_ms = clock_mono_ms() + RETRY_MS;
    }
    return r;
}

void sendlog_replan(const void *plan)
{
    sl.op = plan_find(plan, NULL, PLAN_LOG_SEND);
}

void sendlog_open(const void *plan)
{
    sendlog_replan(plan);
    if (sl.op)
        connect_logger(); /* one that is not there yet is looked for at the next line */
}

uint64_t sendlog_dropped(void)
{
    return sl.dropped;
}

/* ---- what stands before a line ---- */

static char *put(char *p, const char *end, const char *text)
{
    size_t n = strlen(text), room = (size_t)(end - p);

    return mempcpy(p, text, n < room ? n : room);
}

static char *put_number(char *p, const char *end, uint64_t v)
{
    char text[TEXT_U64_MAX];

    text_u64(text, v);
    return put(p, end, text);
}

/* "2006-01-02T15:04:05.9Z" to "Jan  2 15:04:05". */
static char *put_stamp(char *p, const char *end, const char *time)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    unsigned month = (unsigned)(time[5] - '0') * 10 + (unsigned)(time[6] - '0');
    char text[] = "Jan  2 15:04:05";

    memcpy(text, months + 3 * ((month + 11) % 12), 3);
    text[4] = time[8] == '0' ? ' ' : time[8];
    text[5] = time[9];
    memcpy(text + 7, time + 11, 8);
    return put(p, end, text);
}

static size_t journald_head(char *out, int severity, bool partial)
{
    const char *end = out + HEAD_MAX;
    char *p = put(out, end, plan_str(sl.op, 3));

    if (partial)
        p = put(p, end, "CONTAINER_PARTIAL_MESSAGE=true\n");
    p = put(p, end, "PRIORITY=");
    p = put_number(p, end, (uint64_t)severity);
    p = put(p, end, "\nMESSAGE=");
    return (size_t)(p - out);
}

static size_t syslog_head(char *out, int severity)
{
    const char *end = out + HEAD_MAX, *tag = plan_str(sl.op, 1), *host = plan_str(sl.op, 2);
    bool rfc5424 = sl.op->arg[0] == PLAN_LOG_RFC5424;
    char time[CLOCK_TEXT_MAX], *p = put(out, end, "<");

    time[clock_format(clock_real_ns() / 1000 * 1000, time)] = '\0';
    p = put_number(p, end, sl.op->arg[1] * 8 + (uint64_t)severity);
    p = put(p, end, rfc5424 ? ">1 " : ">");
    if (rfc5424)
        p = put(p, end, time);
    else
        p = put_stamp(p, end, time);
    p = put(p, end, " ");
    if (*host) {
        p = put(p, end, host);
        p = put(p, end, " ");
    } else if (rfc5424) {
        p = put(p, end, "- ");
    }
    p = put(p, end, tag);
    p = put(p, end, rfc5424 ? " " : "[");
    p = put_number(p, end, (uint64_t)getpid());
    p = put(p, end, rfc5424 ? " - - " : "]: ");
    return (size_t)(p - out);
}

/* ---- lines ---- */

/* True if there is no rest of a line. */
static bool send_rest(void)
{
    while (rest.len > 0) {
        ssize_t n = send(sl.fd, rest.data + rest.at, rest.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0)
            return false;
        rest.at += (size_t)n;
        rest.len -= (size_t)n;
    }
    return true;
}

/* What of m lies behind the first `sent` bytes is to be sent next. */
static void keep_rest(const struct msghdr *m, size_t sent)
{
    char *p = rest.data;

    for (size_t i = 0; i < m->msg_iovlen; i++) {
        const struct iovec *v = &m->msg_iov[i];
        size_t skip = sent < v->iov_len ? sent : v->iov_len;

        p = mempcpy(p, (char *)v->iov_base + skip, v->iov_len - skip);
        sent -= skip;
    }
    rest.at = 0;
    rest.len = (size_t)(p - rest.data);
}

static bool try_send(const struct msghdr *m)
{
    ssize_t n;

    if (sl.fd < 0 || !send_rest())
        return false;
    n = sendmsg(sl.fd, m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0 && is_stream())
        keep_rest(m, (size_t)n);
    return n >= 0;
}

/* Wait for a logger that is full.  What is read at once may be thousands of lines: one that does
 * not move is waited for once, since nobody could stop the container meanwhile. */
static bool wait_and_send(const struct msghdr *m)
{
    struct pollfd p = {.fd = sl.fd, .events = POLLOUT};

    if (sl.op->arg[3] || sl.hangs)
        return false;
    sl.hangs = poll(&p, 1, SENDLOG_WAIT_MS) == 0;
    return !sl.hangs && try_send(m);
}

static void send_line(int is_stderr, const char *text, size_t len, bool partial)
{
    int severity = is_stderr ? SEVERITY_ERR : SEVERITY_INFO;
    bool journald = sl.op->arg[0] == PLAN_LOG_JOURNALD, stream = is_stream();
    char head[HEAD_MAX];
    struct iovec v[3] = {{.iov_base = head},
                         {.iov_base = (char *)text, .iov_len = len},
                         {.iov_base = (char *)"\n", .iov_len = journald || stream}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};

    v[0].iov_len = journald ? journald_head(head, severity, partial) : syslog_head(head, severity);
    if (try_send(&m))
        return;
    if (sl.fd >= 0 && (errno == EAGAIN || errno == ENOBUFS)) {
        if (wait_and_send(&m))
            return;
    } else if (connect_logger() >= 0 && try_send(&m)) { /* it was started anew */
        return;
    }
    sl.dropped++;
}

void sendlog_write(int is_stderr, const char *data, size_t len)
{
    sl.hangs = false;
    while (sl.op && len > 0) {
        size_t have = streams[is_stderr].len, room = SENDLOG_LINE_MAX - have;
        size_t look = len < room ? len : room;
        const char *nl = memchr(data, '\n', look);
        size_t n = nl ? (size_t)(nl - data) : look;

        memcpy(streams[is_stderr].part + have, data, n);
        streams[is_stderr].len = have + n;
        data += nl ? n + 1 : n;
        len -= nl ? n + 1 : n;
        if (!nl && streams[is_stderr].len < SENDLOG_LINE_MAX)
            return;
        send_line(is_stderr, streams[is_stderr].part, streams[is_stderr].len, !nl);
        streams[is_stderr].len = 0;
    }
}

void sendlog_flush(void)
{
    for (int i = 0; sl.op && i < 2; i++) {
        if (streams[i].len > 0)
            send_line(i, streams[i].part, streams[i].len, false);
        streams[i].len = 0;
    }
    if (sl.op && sl.fd >= 0 && rest.len > 0) {
        struct pollfd p = {.fd = sl.fd, .events = POLLOUT};

        poll(&p, 1, SENDLOG_WAIT_MS);
        sl.dropped += !send_rest();
    }
}
