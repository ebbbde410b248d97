#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "mem.h"
#include "str.h"

#define EVENTS_MAX 64
#define CHUNK (256 << 10) /* asked of one splice(2); the pipe takes what it has room for */
#define TURNS_MAX 16      /* splices one event is good for: others wait */
#define BACKLOG 512
#define ACCEPTS_MAX 64 /* per event */
#define PAUSE_MS 100   /* without descriptors or memory */
#define DESCRIPTORS 6  /* of a connection */
#define SWEEP_MS 5000  /* between two looks at who has been idle */

/* From one socket to the other. */
struct lane {
    int pipe[2]; /* owned */
    size_t held; /* bytes in the pipe */
    bool ended;  /* nothing more comes in */
    bool shut;   /* and the other side knows */
};

struct connection {
    TAILQ_ENTRY(connection) entry;
    int fd[2];           /* owned: client, container */
    struct lane lane[2]; /* [i]: from fd[i] */
    uint16_t port;       /* of the host */
    time_t active_s;     /* when bytes last moved */
    bool connecting;
    bool dead; /* freed behind the batch of events that may still name it */
};
TAILQ_HEAD(connection_list, connection);

struct relay {
    relay_target_fn target;
    void *arg;
    struct relay_limits limits;
    int listener[2]; /* IPv6, IPv4; owned */
    int epoll_fd, wake_fd;
    pthread_t thread;
    bool started;
    struct connection_list connections; /* the one that has been idle longest first */
    struct connection_list dead;
    size_t n;
    uint16_t of_port[UINT16_MAX + 1]; /* connections by host port */
    time_t now_s;
};

static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

/* ---- listening ---- */

static int listen_on(int family, const struct sockaddr *address, socklen_t len)
{
    _cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, r;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* accepted ones have it, too */
    r = family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on))
                           : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));
    if (r < 0 || bind(fd, address, len) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int listen_family(int family)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return family == AF_INET6 ? listen_on(AF_INET6, (const struct sockaddr *)&six, sizeof(six))
                              : listen_on(AF_INET, (const struct sockaddr *)&four, sizeof(four));
}

static uint16_t port_in(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

uint16_t relay_port(const struct relay *relay, int family)
{
    int fd = relay ? relay->listener[family == AF_INET6 ? 0 : 1] : -EBADF;
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);

    if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return 0;
    return port_in(&address);
}

/* ---- a connection ---- */

static void lane_close(struct lane *lane)
{
    fd_close(lane->pipe[0]);
    fd_close(lane->pipe[1]);
}

static void connection_free(struct connection *c)
{
    for (int i = 0; i < 2; i++) {
        fd_close(c->fd[i]);
        lane_close(&c->lane[i]);
    }
    free(c);
}

/* The client is to see an end as hard as this. */
static void cut(struct relay *relay, struct connection *c, bool reset)
{
    struct linger linger = {.l_onoff = 1};

    if (c->dead)
        return;
    if (reset)
        setsockopt(c->fd[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    for (int i = 0; i < 2; i++) {
        fd_close(c->fd[i]);
        c->fd[i] = -EBADF;
    }
    c->dead = true;
    relay->n--;
    relay->of_port[c->port]--;
    TAILQ_REMOVE(&relay->connections, c, entry);
    TAILQ_INSERT_TAIL(&relay->dead, c, entry);
}

static void bury(struct relay *relay)
{
    struct connection *c;

    while ((c = TAILQ_FIRST(&relay->dead))) {
        TAILQ_REMOVE(&relay->dead, c, entry);
        connection_free(c);
    }
}

static void touch(struct relay *relay, struct connection *c)
{
    c->active_s = relay->now_s;
    TAILQ_REMOVE(&relay->connections, c, entry);
    TAILQ_INSERT_TAIL(&relay->connections, c, entry);
}

static void cut_idle(struct relay *relay)
{
    struct connection *c, *next;

    for (c = TAILQ_FIRST(&relay->connections); c; c = next) {
        bool half = c->lane[0].shut || c->lane[1].shut;
        unsigned limit = c->connecting ? relay->limits.connecting_s
                         : half        ? relay->limits.half_open_s
                                       : relay->limits.idle_s;

        next = TAILQ_NEXT(c, entry);
        if (relay->now_s - c->active_s >= limit)
            cut(relay, c, true);
    }
}

/* 1: there may be more to do at once, 0: wait for an event, < 0: it is broken. */
static int carry(struct connection *c, int from)
{
    struct lane *lane = &c->lane[from];
    int in = c->fd[from], out = c->fd[!from];
    bool moved = false;
    ssize_t n;

    if (!lane->ended) {
        n = splice(in, NULL, lane->pipe[1], NULL, CHUNK, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        lane->ended = n == 0;
        lane->held += n > 0 ? (size_t)n : 0;
        moved = n > 0;
    }
    if (lane->held > 0) {
        n = splice(lane->pipe[0], NULL, out, NULL, lane->held, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        lane->held -= n > 0 ? (size_t)n : 0;
        moved = moved || n > 0;
    }
    if (lane->ended && lane->held == 0 && !lane->shut) {
        shutdown(out, SHUT_WR);
        lane->shut = true;
    }
    return moved;
}

static int watch(struct relay *relay, struct connection *c, int i, int op)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};

    return epoll_ctl(relay->epoll_fd, op, c->fd[i], &event) < 0 ? -errno : 0;
}

static void serve(struct relay *relay, struct connection *c)
{
    int error = 0, there = 0, back = 0;
    bool moved = false;
    socklen_t len = sizeof(error);

    if (c->dead)
        return;
    if (c->connecting) {
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof(peer);

        getsockopt(c->fd[1], SOL_SOCKET, SO_ERROR, &error, &len);
        if (error)
            cut(relay, c, true);
        else if (getpeername(c->fd[1], (struct sockaddr *)&peer, &peer_len) == 0)
            c->connecting = false;
        if (error || c->connecting)
            return;
        moved = true;
    }
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        there = carry(c, 0);
        back = carry(c, 1);
        if (there < 0 || back < 0) {
            cut(relay, c, true);
            return;
        }
        moved = moved || there || back;
        if (!there && !back)
            break;
    }
    if (moved)
        touch(relay, c);
    if (c->lane[0].shut && c->lane[1].shut)
        cut(relay, c, false);
    else if (there || back) /* edges do not come again by themselves: behind the others */
        watch(relay, c, 0, EPOLL_CTL_MOD);
}

static int start_connecting(struct connection *c, const struct sockaddr_storage *to)
{
    socklen_t len =
        to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int on = 1;

    c->fd[1] = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd[1] < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        setsockopt(c->fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (pipe2(c->lane[i].pipe, O_CLOEXEC | O_NONBLOCK) < 0)
            return -errno;
    }
    setsockopt(c->fd[1], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (connect(c->fd[1], (const struct sockaddr *)to, len) < 0 && errno != EINPROGRESS)
        return -errno;
    c->connecting = true;
    return 0;
}

/* Whoever connects is not to take the descriptors that the rest of the daemon needs. */
static size_t room(const struct relay *relay)
{
    size_t limit = relay->limits.connections;
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / DESCRIPTORS / 2 < limit)
        limit = files.rlim_cur / DESCRIPTORS / 2;
    return limit > relay->n ? limit - relay->n : 0;
}

/* In the place of the one that has been idle longest, of the same port if that has too many. */
static bool make_room(struct relay *relay, uint16_t port)
{
    bool any = relay->of_port[port] == 0;
    struct connection *c;

    TAILQ_FOREACH(c, &relay->connections, entry)
    {
        if (relay->now_s - c->active_s < relay->limits.spare_s)
            return false;
        if (any || c->port == port) {
            cut(relay, c, true);
            return true;
        }
    }
    return false;
}

/* A port may have as many as it leaves free for the others: alone half of all, one of two a third.
 */
static bool may_have_more(struct relay *relay, uint16_t port)
{
    return relay->of_port[port] < room(relay) || make_room(relay, port);
}

/* Takes fd over.  A connection to the listener itself, past the rule, leads nowhere. */
static void begin(struct relay *relay, int fd)
{
    struct connection *c = xcalloc(1, sizeof(*c));
    struct sockaddr_storage host = {0}, to = {0};
    socklen_t len = sizeof(host);
    int r;

    *c = (struct connection){.fd = {fd, -EBADF},
                             .lane = {{.pipe = {-EBADF, -EBADF}}, {.pipe = {-EBADF, -EBADF}}}};
    r = getsockname(fd, (struct sockaddr *)&host, &len) < 0 ? -errno
                                                            : relay->target(relay->arg, &host, &to);
    c->port = port_in(&host);
    if (r > 0 && may_have_more(relay, c->port))
        r = start_connecting(c, &to);
    else
        r = -ECONNREFUSED;
    c->active_s = relay->now_s;
    TAILQ_INSERT_TAIL(&relay->connections, c, entry);
    relay->n++;
    relay->of_port[c->port]++;
    for (int i = 0; r >= 0 && i < 2; i++)
        r = watch(relay, c, i, EPOLL_CTL_ADD);
    if (r < 0)
        cut(relay, c, true);
}

static void accept_some(struct relay *relay, int listener)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            begin(relay, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            usleep(PAUSE_MS * 1000);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* ---- the thread ---- */

/* Whether it may go on. */
static bool handle(struct relay *relay, const struct epoll_event *event)
{
    if (event->data.ptr == &relay->wake_fd)
        return false;
    if (event->data.ptr == &relay->listener[0] || event->data.ptr == &relay->listener[1])
        accept_some(relay, *(int *)event->data.ptr);
    else
        serve(relay, event->data.ptr);
    return true;
}

static void *run(void *arg)
{
    struct relay *relay = arg;
    struct epoll_event events[EVENTS_MAX];
    time_t swept_s = now_s();
    bool going = true;

    while (going) {
        int n = epoll_wait(relay->epoll_fd, events, EVENTS_MAX, relay->n > 0 ? SWEEP_MS : -1);

        relay->now_s = now_s();
        if (relay->now_s - swept_s >= SWEEP_MS / 1000) {
            cut_idle(relay);
            swept_s = relay->now_s;
        }
        for (int i = 0; i < n; i++)
            going = handle(relay, &events[i]) && going;
        bury(relay);
    }
    return NULL;
}

static int watch_own(struct relay *relay, int *fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};

    if (*fd < 0)
        return 0;
    return epoll_ctl(relay->epoll_fd, EPOLL_CTL_ADD, *fd, &event) < 0 ? -errno : 0;
}

int relay_open(bool ipv4, const struct relay_limits *limits, relay_target_fn target, void *arg,
               struct relay **ret, struct err *reterr)
{
    struct relay *relay = xcalloc(1, sizeof(*relay));
    int r;

    TAILQ_INIT(&relay->connections);
    TAILQ_INIT(&relay->dead);
    relay->limits = *limits;
    relay->target = target;
    relay->arg = arg;
    relay->listener[0] = listen_family(AF_INET6);
    relay->listener[1] = ipv4 ? listen_family(AF_INET) : -EBADF;
    relay->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    relay->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = relay->epoll_fd < 0 || relay->wake_fd < 0 ? -errno : 0;
    if (r >= 0 && ipv4 && relay->listener[1] < 0)
        r = relay->listener[1];
    if (r >= 0)
        r = watch_own(relay, &relay->wake_fd);
    for (int i = 0; r >= 0 && i < 2; i++)
        r = watch_own(relay, &relay->listener[i]);
    if (r < 0) {
        relay_close(relay);
        return err_sys(reterr, -r, "open the relay of published ports");
    }
    *ret = relay;
    return 0;
}

/* With all signals blocked: they are the loop's. */
int relay_start(struct relay *relay, struct err *reterr)
{
    sigset_t all, before;
    int r;

    if (relay->started)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&relay->thread, NULL, run, relay);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r > 0)
        return err_sys(reterr, r, "start the relay of published ports");
    relay->started = true;
    return 0;
}

void relay_close(struct relay *relay)
{
    struct connection *c;
    uint64_t one = 1;

    if (relay->started) {
        (void)!write(relay->wake_fd, &one, sizeof(one));
        pthread_join(relay->thread, NULL);
    }
    while ((c = TAILQ_FIRST(&relay->connections)))
        cut(relay, c, true);
    bury(relay);
    fd_close(relay->listener[0]);
    fd_close(relay->listener[1]);
    fd_close(relay->epoll_fd);
    fd_close(relay->wake_fd);
    free(relay);
}
