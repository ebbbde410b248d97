#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mux.h"
#include "str.h"
#include "tty.h"
#include "url.h"

#define CHUNK 65536
#define RESIZE_TRIES 10

enum { AT_STDIN, AT_SOCK, AT_SIGNAL, AT_WAIT, AT_OUT, AT_N };

/* What still has to be written to our stdout or stderr. */
struct sink {
    int fd;
    size_t step; /* most bytes that a writable fd takes without blocking; 0: it never blocks long */
    struct buf pending;
};

struct pump {
    struct session *s;
    struct mux mux;
    struct detach detach;
    struct sink out, err;
    struct buf input; /* read from stdin, not yet sent */
    bool input_eof, sock_eof, detached;
    int resize_tries; /* left of the first resize; 0: none pending */
    int64_t resize_at;
    int interrupts; /* SIGINT and SIGTERM seen */
    struct err failure;
};

static int64_t now_ms(void)
{
    return time_monotonic_ns() / 1000000;
}

/* ---- output ---- */

static void sink_init(struct sink *k, int fd)
{
    struct stat st;

    k->fd = fd;
    k->step =
        fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode) || S_ISSOCK(st.st_mode))
            ? 4096 /* PIPE_BUF */
            : 0;
}

static int sink_flush(struct sink *k, bool whole)
{
    while (buf_size(&k->pending) > 0) {
        size_t size = buf_size(&k->pending);
        ssize_t n = write(k->fd, buf_head(&k->pending),
                          k->step && !whole && size > k->step ? k->step : size);

        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            poll(&(struct pollfd){.fd = k->fd, .events = POLLOUT}, 1, 100);
            continue;
        }
        if (n < 0)
            return -errno;
        buf_consume(&k->pending, (size_t)n);
        if (k->step && !whole)
            break;
    }
    return 0;
}

static int take_payload(void *arg, enum mux_stream stream, const char *data, size_t len)
{
    struct pump *p = arg;

    if (stream == MUX_SYSTEM)
        return err_set(&p->failure, ERR_SYSTEM, EIO, "error from daemon in stream: %.*s", (int)len,
                       data);
    if (stream == MUX_STDERR && p->s->show_err)
        buf_append(&p->err.pending, data, len);
    else if (stream != MUX_STDERR && p->s->show_out)
        buf_append(&p->out.pending, data, len);
    return 0;
}

static int take_output(struct pump *p, const char *data, size_t len)
{
    int r;

    if (p->s->tty)
        return take_payload(p, MUX_STDOUT, data, len);
    r = mux_feed(&p->mux, data, len, take_payload, p);
    if (r == -EBADMSG)
        err_set(&p->failure, ERR_SYSTEM, EBADMSG, "unrecognized header in the attach stream");
    return r;
}

static int read_socket(struct pump *p)
{
    char data[CHUNK];
    ssize_t n = recv(p->s->conn.fd, data, sizeof(data), MSG_DONTWAIT);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0) {
        p->sock_eof = true;
        return 0;
    }
    return take_output(p, data, (size_t)n);
}

/* ---- input ---- */

static void close_input(struct pump *p)
{
    p->input_eof = true;
    if (buf_size(&p->input) == 0)
        shutdown(p->s->conn.fd, SHUT_WR);
}

static void send_input(struct pump *p)
{
    ssize_t n =
        send(p->s->conn.fd, buf_head(&p->input), buf_size(&p->input), MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* Nobody takes input any more; output may still come. */
    buf_consume(&p->input, n < 0 ? buf_size(&p->input) : (size_t)n);
    if (n < 0)
        p->input_eof = true;
    else if (p->input_eof && buf_size(&p->input) == 0)
        shutdown(p->s->conn.fd, SHUT_WR);
}

static void read_input(struct pump *p)
{
    char data[CHUNK], *room;
    ssize_t n = read(STDIN_FILENO, data, sizeof(data));
    size_t len;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        close_input(p);
        return;
    }
    if (!p->s->tty) {
        buf_append(&p->input, data, (size_t)n);
    } else {
        room = buf_reserve(&p->input, (size_t)n + DETACH_KEYS_MAX);
        p->detached = detach_filter(&p->detach, data, (size_t)n, room, &len);
        p->input.len += len;
    }
    if (buf_size(&p->input) > 0)
        send_input(p);
}

/* ---- terminal size ---- */

static int resize_to(struct session *s, int rows, int columns)
{
    _cleanup_free_ char *url = xstrdup(s->resize_path);
    _cleanup_free_ char *h = xasprintf("%d", rows), *w = xasprintf("%d", columns);
    struct err ignored;

    url_add(&url, "h", h);
    url_add(&url, "w", w);
    return client_post(s->client, url, NULL, NULL, &ignored);
}

static int resize(struct session *s)
{
    struct tty_size size;

    if (!tty_get_size(&size) || (size.rows == 0 && size.columns == 0))
        return 0;
    return resize_to(s, size.rows, size.columns);
}

/* The far end may not be ready for its first size yet: try some more times, as docker does. */
static void first_resize(struct pump *p)
{
    if (resize(p->s) == 0) {
        p->resize_tries = 0;
    } else if (--p->resize_tries == 0) {
        fprintf(stderr, "failed to resize tty, using default size\r\n");
    } else {
        p->resize_at = now_ms() + (RESIZE_TRIES - p->resize_tries) * 10;
    }
}

static void begin_size(struct pump *p)
{
    struct tty_size size;

    if (!p->s->resize_path || !p->s->tty || !isatty(STDOUT_FILENO))
        return;
    if (p->s->redraw && tty_get_size(&size))
        resize_to(p->s, size.rows + 1, size.columns + 1);
    p->resize_tries = RESIZE_TRIES;
    first_resize(p);
}

/* ---- signals ---- */

static bool is_forwarded(int sig)
{
    static const int not_forwarded[] = {
        SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, SIGSEGV, SIGBUS,
        SIGFPE,  SIGILL,  SIGABRT, SIGTRAP, SIGSYS, SIGTTIN,  SIGTTOU, SIGPROF,
    };

    for (size_t i = 0; i < ARRAY_SIZE(not_forwarded); i++) {
        if (not_forwarded[i] == sig)
            return false;
    }
    return sig < SIGRTMIN ? sig < 32 : sig <= SIGRTMAX;
}

int session_catch_signals(struct session *s)
{
    sigset_t set;

    sigemptyset(&set);
    for (int sig = 1; s->kill_path && sig <= SIGRTMAX; sig++) {
        if (is_forwarded(sig))
            sigaddset(&set, sig);
    }
    if (s->resize_path)
        sigaddset(&set, SIGWINCH);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? -errno : 0;
}

static void forward_signal(struct pump *p, int sig)
{
    const char *name = sig < SIGRTMIN ? sigabbrev_np(sig) : NULL;
    _cleanup_free_ char *number = xasprintf("%d", sig);
    _cleanup_free_ char *url = xstrdup(p->s->kill_path);
    struct err ignored;

    url_add(&url, "signal", name ? name : number);
    client_post(p->s->client, url, NULL, NULL, &ignored);
    if ((sig == SIGINT || sig == SIGTERM) && ++p->interrupts >= 3) {
        tty_restore();
        fprintf(stderr, "\ngot 3 SIGTERM/SIGINTs, forcefully exiting\n");
        exit(1);
    }
}

static void read_signals(struct pump *p)
{
    struct signalfd_siginfo info;

    while (read(p->s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            resize(p->s);
        else
            forward_signal(p, (int)info.ssi_signo);
    }
}

/* ---- the loop ---- */

static bool is_over(const struct pump *p)
{
    if (p->detached)
        return true;
    return p->sock_eof && buf_size(&p->out.pending) == 0 && buf_size(&p->err.pending) == 0 &&
           (!p->s->wait || p->s->wait->done);
}

static void fill_poll(const struct pump *p, struct pollfd *fds)
{
    const struct sink *blocked = buf_size(&p->out.pending)   ? &p->out
                                 : buf_size(&p->err.pending) ? &p->err
                                                             : NULL;
    bool want_input = p->s->input && !p->input_eof && !p->sock_eof && buf_size(&p->input) == 0;
    short sock = (short)((blocked ? 0 : POLLIN) | (buf_size(&p->input) ? POLLOUT : 0));
    const struct waiter *w = p->s->wait;

    fds[AT_STDIN] = (struct pollfd){.fd = want_input ? STDIN_FILENO : -1, .events = POLLIN};
    fds[AT_SOCK] = (struct pollfd){.fd = p->sock_eof || !sock ? -1 : p->s->conn.fd, .events = sock};
    fds[AT_SIGNAL] = (struct pollfd){.fd = p->s->signal_fd, .events = POLLIN};
    fds[AT_WAIT] = (struct pollfd){.fd = w && !w->done ? w->conn.fd : -1, .events = POLLIN};
    fds[AT_OUT] = (struct pollfd){.fd = blocked ? blocked->fd : -1, .events = POLLOUT};
}

static int poll_timeout(const struct pump *p)
{
    int64_t at = p->resize_tries ? p->resize_at : 0, left;

    if (p->s->wait && !p->s->wait->done && p->s->wait->conn.fd < 0 &&
        (!at || p->s->wait->retry_at < at))
        at = p->s->wait->retry_at;
    if (!at)
        return -1;
    left = at - now_ms();
    return left < 0 ? 0 : (int)left;
}

static int dispatch(struct pump *p, const struct pollfd *fds)
{
    struct waiter *w = p->s->wait;
    int r = 0;

    if (fds[AT_SIGNAL].revents)
        read_signals(p);
    if (fds[AT_STDIN].revents)
        read_input(p);
    if (fds[AT_SOCK].revents & (POLLOUT | POLLERR) && buf_size(&p->input))
        send_input(p);
    if (fds[AT_SOCK].revents & (POLLIN | POLLHUP | POLLERR))
        r = read_socket(p);
    if (r == 0 && buf_size(&p->out.pending))
        r = sink_flush(&p->out, !p->s->input);
    if (r == 0 && buf_size(&p->err.pending))
        r = sink_flush(&p->err, !p->s->input);
    if (p->resize_tries && now_ms() >= p->resize_at)
        first_resize(p);
    if (r == 0 && w && !w->done && (fds[AT_WAIT].revents || w->conn.fd < 0))
        r = waiter_step(w, p->s->client, &p->failure);
    return r;
}

static int pump_run(struct pump *p)
{
    struct session *s = p->s;
    int r = 0;

    if (buf_size(&s->conn.in))
        r = take_output(p, buf_head(&s->conn.in), buf_size(&s->conn.in));
    /* The answer may have come along with its head: poll(2) would not tell. */
    if (r == 0 && s->wait && buf_size(&s->wait->conn.in))
        r = waiter_step(s->wait, s->client, &p->failure);
    if (!s->input)
        close_input(p);
    begin_size(p);
    while (r == 0 && !is_over(p)) {
        struct pollfd fds[AT_N];

        fill_poll(p, fds);
        if (poll(fds, AT_N, poll_timeout(p)) < 0 && errno != EINTR)
            return -errno;
        r = dispatch(p, fds);
    }
    return r;
}

int session_run(struct session *s, struct err *reterr)
{
    struct pump p = {.s = s};
    int r;

    sink_init(&p.out, STDOUT_FILENO);
    sink_init(&p.err, STDERR_FILENO);
    detach_init(&p.detach, s->detach_keys);
    r = pump_run(&p);
    sink_flush(&p.out, true);
    sink_flush(&p.err, true);
    tty_restore();
    buf_done(&p.out.pending);
    buf_done(&p.err.pending);
    buf_done(&p.input);
    if (r < 0) {
        if (p.failure.kind)
            *reterr = p.failure;
        else
            err_sys(reterr, -r, "stream");
        return r;
    }
    return p.detached ? SESSION_DETACHED : SESSION_ENDED;
}

void session_done(struct session *s)
{
    tty_restore();
    conn_done(&s->conn);
    s->signal_fd = fd_close(s->signal_fd);
    free(s->resize_path);
    free(s->kill_path);
    s->resize_path = s->kill_path = NULL;
}
