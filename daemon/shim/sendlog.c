#include "sendlog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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
#define SEVERITY_ERR 3
#define SEVERITY_INFO 6

static struct {
    int fd;
    const struct plan_op *op;
    uint64_t dropped;
    bool hangs; /* waited for in vain: not again for what was read together */
} sl = {.fd = -EBADF};

static struct {
    size_t len;
    char part[SENDLOG_LINE_MAX];
} streams[2];

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* "/path", or "udp:ADDRESS:PORT" with a numeric address. */
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
    text += strlen("udp:");
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

static int connect_logger(void)
{
    int size = (int)sl.op->arg[2];
    union address a;
    socklen_t len = parse_address(plan_str(sl.op, 0), &a);

    sl.fd = fd_close(sl.fd);
    if (len == 0)
        return -EINVAL;
    sl.fd = socket(a.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sl.fd < 0)
        return -errno;
    if (size > 0)
        setsockopt(sl.fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    if (connect(sl.fd, &a.any, len) < 0) {
        int r = -errno;

        sl.fd = fd_close(sl.fd);
        return r;
    }
    return 0;
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

static bool try_send(const struct msghdr *m)
{
    return sl.fd >= 0 && sendmsg(sl.fd, m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
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
    bool journald = sl.op->arg[0] == PLAN_LOG_JOURNALD;
    char head[HEAD_MAX];
    struct iovec v[3] = {{.iov_base = head},
                         {.iov_base = (char *)text, .iov_len = len},
                         {.iov_base = (char *)"\n", .iov_len = journald}};
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
}
