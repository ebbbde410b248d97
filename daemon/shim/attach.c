#include "attach.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "detach.h"
#include "fd.h"
#include "plan.h"
#include "spill.h"

#define CLIENT_MAX (SHIM_ATTACH_MAX + SHIM_EXEC_MAX)
#define STDIN_CHUNK 8192
/* Room that must be there before a client is read: its chunk, and what a new client may bring. */
#define STDIN_RESERVE (STDIN_CHUNK + SHIM_EARLY_MAX + SHIM_DETACH_KEYS_MAX)
#define HEADER_SIZE 8

struct client {
    struct watch w; /* the socket, owned */
    struct task *task;
    uint32_t flags;
    bool reading; /* its input is wanted and has not ended */
    bool ending;  /* close when the queue is empty */
    bool greeted; /* its HTTP head is out of the way */
    struct detach detach;
    struct spill queue;
    const char *last;    /* what it is told behind its queue before it is dropped; NULL: nothing */
    size_t said;         /* bytes of that frame that are sent */
    int64_t progress_ms; /* when something was last sent, while the queue is not empty */
};

static struct client clients[CLIENT_MAX];
static int n_clients; /* places that were ever taken: the others are never looked at */

/* Why a client is cut off: the last frame of its stream, on stderr.  These need no room of their
 * own; a raw stream (a terminal's) has no place for them that is not the program's. */
static const char too_far_behind[] =
    "containerd-lite: this client is 64 MiB behind and has read nothing for 10 seconds: cut off\n";
static const char no_room[] =
    "containerd-lite: there is no room for what this client has not read: cut off\n";
static const char too_many[] = "containerd-lite: too many clients are attached: cut off\n";

_Static_assert(SPILL_MAX == UINT64_C(64) << 20 && ATTACH_STALL_MS == 10000, "the texts say so");

static bool has_more(const struct client *c)
{
    return spill_size(&c->queue) > 0 || (c->last && c->said < HEADER_SIZE + strlen(c->last));
}

static void update(struct client *c)
{
    uint32_t events = EPOLLHUP;

    if (c->reading && task_stdin_room(c->task) > STDIN_RESERVE)
        events |= EPOLLIN;
    if (has_more(c))
        events |= EPOLLOUT;
    watch_set(&c->w, events);
}

/* Read its output on, unless somebody is still to be waited for. */
static void resume(struct task *t)
{
    for (int i = 0; i < n_clients; i++) {
        if (clients[i].task == t && !clients[i].ending && spill_size(&clients[i].queue) > SPILL_MAX)
            return;
    }
    task_pause(t, false);
}

static void drop(struct client *c)
{
    struct task *t = c->task;
    int fd = c->w.fd;

    watch_done(&c->w);
    shutdown(fd, SHUT_RDWR);
    fd_close(fd);
    spill_done(&c->queue);
    c->task = NULL;
    resume(t);
}

static void drop_detached(struct client *c)
{
    struct shim_msg m = {.type = SHIM_DETACHED};

    memcpy(m.exec_id, c->task->id, sizeof(m.exec_id));
    drop(c);
    control_send(&m, NULL, 0);
}

/* ---- to the client ---- */

static void frame_head(unsigned char head[HEADER_SIZE], enum task_stream stream, size_t len)
{
    memset(head, 0, HEADER_SIZE);
    head[0] = stream == TASK_STDERR ? 2 : 1;
    for (int i = 0; i < 4; i++)
        head[4 + i] = (unsigned char)(len >> (24 - 8 * i));
}

/* Nothing more is kept for it.  If it reads on within ATTACH_STALL_MS it gets its queue, then why.
 */
static void cut_off(struct client *c, const char *why)
{
    if (!(c->flags & SHIM_ATTACH_FRAMED)) {
        drop_detached(c);
        return;
    }
    c->last = why;
    c->reading = false;
    c->ending = true;
    c->progress_ms = clock_mono_ms();
    resume(c->task);
    update(c);
}

/* False: the socket is full, or broken. */
static bool send_last(struct client *c)
{
    unsigned char head[HEADER_SIZE];
    size_t len = strlen(c->last), in_head = c->said < HEADER_SIZE ? HEADER_SIZE - c->said : 0;
    size_t in_text = in_head ? 0 : c->said - HEADER_SIZE;
    struct iovec iov[2] = {{head + HEADER_SIZE - in_head, in_head},
                           {(char *)c->last + in_text, len - in_text}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n;

    frame_head(head, TASK_STDERR, len);
    n = sendmsg(c->w.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        c->said += (size_t)n;
    return n > 0 && !has_more(c);
}

#define GREETING_TRIES 50

/* Clients that read the head of the answer through a buffer of their own lose what stands behind it
 * (docker-py does): the first output waits until the head has been taken.  SIOCOUTQ
 * counts what the peer has not read.  Nearly always nothing is left; at worst it is 50 ms, once. */
static void greet(struct client *c)
{
    const struct timespec ms = {.tv_nsec = 1000000};
    int unread = 0;

    c->greeted = true;
    for (int i = 0; i < GREETING_TRIES; i++) {
        if (ioctl(c->w.fd, SIOCOUTQ, &unread) < 0 || unread == 0)
            return;
        nanosleep(&ms, NULL);
    }
}

static void queue(struct client *c, const struct iovec *iov, int n, size_t skip)
{
    bool was_empty = spill_size(&c->queue) == 0, begun = skip > 0;
    uint64_t tail = c->queue.tail;

    for (int i = 0; i < n; i++) {
        size_t len = iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        /* No place left for it: half a frame would be worse than a closed stream. */
        if (spill_put(&c->queue, control_run_dir(), (char *)iov[i].iov_base + skip, len - skip) <
            0) {
            c->queue.tail = tail;
            if (begun)
                drop_detached(c);
            else
                cut_off(c, no_room);
            return;
        }
        skip = 0;
    }
    if (was_empty)
        c->progress_ms = clock_mono_ms();
    if (spill_size(&c->queue) > SPILL_MAX)
        task_pause(c->task, true);
    update(c);
}

static void send_iov(struct client *c, struct iovec *iov, int n, size_t total)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    ssize_t sent = 0;

    if (!c->greeted)
        greet(c);
    if (spill_size(&c->queue) == 0) {
        sent = sendmsg(c->w.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            drop_detached(c);
            return;
        }
    }
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < total)
        queue(c, iov, n, (size_t)sent);
}

static void send_frame(struct client *c, enum task_stream stream, const char *data, size_t len)
{
    unsigned char head[HEADER_SIZE];
    struct iovec iov[2] = {{head, sizeof(head)}, {(char *)data, len}};

    frame_head(head, stream, len);
    if (c->flags & SHIM_ATTACH_FRAMED)
        send_iov(c, iov, 2, sizeof(head) + len);
    else
        send_iov(c, iov + 1, 1, len);
}

void attach_output(struct task *t, enum task_stream stream, const char *data, size_t len)
{
    uint32_t wanted = stream == TASK_STDERR ? SHIM_ATTACH_STDERR : SHIM_ATTACH_STDOUT;

    for (int i = 0; len > 0 && i < n_clients; i++) {
        struct client *c = &clients[i];

        if (c->task == t && !c->ending && (c->flags & wanted))
            send_frame(c, stream, data, len);
    }
}

static void end_client(struct client *c)
{
    c->ending = true;
    c->reading = false;
    if (spill_size(&c->queue) == 0)
        drop(c);
    else
        update(c);
}

static void drain(struct client *c)
{
    ssize_t n = spill_drain(&c->queue, c->w.fd);

    if (n < 0) {
        drop_detached(c);
        return;
    }
    if (n > 0)
        c->progress_ms = clock_mono_ms();
    /* Hysteresis: reading on at the brink would pause again at once. */
    if (c->task->paused && spill_size(&c->queue) < SPILL_MAX / 2)
        task_pause(c->task, false);
    if (!c->ending || spill_size(&c->queue) > 0)
        update(c);
    else if (!c->last)
        drop(c);
    else if (send_last(c))
        drop_detached(c);
    else
        update(c);
}

/* ---- from the client ---- */

/* With StdinOnce (and for an exec) the program sees the end of its input; otherwise
 * only this session is over.  A terminal has no end of input. */
static void input_ended(struct client *c)
{
    struct task *t = c->task;
    bool closes = t != task_main() || (t->flags & PLAN_STDIO_STDIN_ONCE);

    c->reading = false;
    if (closes && !(t->flags & PLAN_STDIO_TTY)) {
        task_stdin_close(t);
        update(c);
    } else {
        end_client(c);
    }
}

static void take_input(struct client *c, const char *raw, size_t n)
{
    static char text[STDIN_CHUNK + SHIM_DETACH_KEYS_MAX];
    size_t len, room = task_stdin_room(c->task);
    bool detached = detach_feed(&c->detach, raw, n, text, &len);

    task_stdin_put(c->task, text, len < room ? len : room);
    if (detached)
        drop_detached(c);
    else
        update(c);
}

static void read_input(struct client *c)
{
    static char raw[STDIN_CHUNK];
    ssize_t n = recv(c->w.fd, raw, sizeof(raw), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        drop_detached(c);
        return;
    }
    if (n == 0) {
        input_ended(c);
        return;
    }
    take_input(c, raw, (size_t)n);
}

static void on_client(void *arg, uint32_t events)
{
    struct client *c = arg;

    if ((events & EPOLLIN) && c->task)
        read_input(c);
    if ((events & EPOLLOUT) && c->task)
        drain(c);
    /* Only when both directions are gone; a half-closed client still listens. */
    if ((events & (EPOLLHUP | EPOLLERR)) && c->task && !(events & EPOLLIN))
        drop_detached(c);
}

void attach_stdin_ready(struct task *t)
{
    for (int i = 0; i < n_clients; i++) {
        if (clients[i].task == t)
            update(&clients[i]);
    }
}

/* ---- coming and going ---- */

static struct client *free_client(struct task *t)
{
    struct client *found = NULL;
    int used = 0;

    for (int i = 0; i < n_clients; i++) {
        if (!clients[i].task && !found)
            found = &clients[i];
        else if (clients[i].task == t)
            used++;
    }
    if (used >= SHIM_ATTACH_MAX)
        return NULL;
    return found || n_clients == CLIENT_MAX ? found : &clients[n_clients++];
}

static void refuse(int sock, const struct shim_attach *how)
{
    struct client c = {.flags = how->flags, .w.fd = sock, .last = too_many};

    if (how->flags & SHIM_ATTACH_FRAMED)
        send_last(&c);
    fd_close(sock);
}

void attach_add(struct task *t, int sock, const struct shim_attach *how)
{
    struct client *c = free_client(t);

    if (!c) {
        refuse(sock, how);
        return;
    }
    *c = (struct client){.task = t, .flags = how->flags, .queue = SPILL_INIT};
    c->reading = (how->flags & SHIM_ATTACH_STDIN) && (t->flags & PLAN_STDIO_STDIN);
    if (t->flags & PLAN_STDIO_TTY)
        detach_init(&c->detach, how->detach_keys, how->detach_len);
    fd_set_nonblock(sock, 1);
    watch_init(&c->w, sock, on_client, c);
    if (c->reading && how->early_len > 0)
        take_input(c, (const char *)how->early, how->early_len);
    else
        update(c);
}

void attach_end(struct task *t)
{
    for (int i = 0; i < n_clients; i++) {
        if (clients[i].task == t && !clients[i].ending)
            end_client(&clients[i]);
    }
}

bool attach_any(void)
{
    for (int i = 0; i < n_clients; i++) {
        if (clients[i].task)
            return true;
    }
    return false;
}

int attach_tick(int64_t now_ms)
{
    int wait = -1;

    for (int i = 0; i < n_clients; i++) {
        struct client *c = &clients[i];
        int64_t left;

        if (!c->task || !has_more(c))
            continue;
        /* Behind within the limit, a client of a running task may take its time. */
        if (!c->ending && !(c->task->paused && spill_size(&c->queue) > SPILL_MAX / 2))
            continue;
        left = c->progress_ms + ATTACH_STALL_MS - now_ms;
        if (left <= 0 && c->ending) {
            drop_detached(c);
            continue;
        }
        if (left <= 0) {
            cut_off(c, too_far_behind);
            left = ATTACH_STALL_MS;
        }
        if (wait < 0 || left < wait)
            wait = (int)left;
    }
    return wait;
}
