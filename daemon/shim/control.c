#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "loop.h"

static const struct control_handler *handler;
static struct watch link_watch = {.fd = -EBADF};
static struct watch listen_watch = {.fd = -EBADF};
static int run_dir_fd = -EBADF;

static void drop_link(void)
{
    int fd = link_watch.fd;

    if (fd < 0)
        return;
    watch_done(&link_watch);
    fd_close(fd);
    handler->lost();
}

/* The bytes a message must have: those of a client's early input may be cut where they end. */
static size_t needed(const struct shim_msg *m, size_t len)
{
    size_t fixed = offsetof(struct shim_msg, attach.early);

    if (m->type != SHIM_ATTACH && m->type != SHIM_EXEC)
        return shim_msg_size(m->type);
    if (len < fixed || m->attach.early_len > SHIM_EARLY_MAX)
        return SIZE_MAX;
    return fixed + m->attach.early_len;
}

static bool is_known(const struct shim_msg *m, size_t len)
{
    return len >= offsetof(struct shim_msg, state) && m->type >= SHIM_GO && m->type <= SHIM_KEEP &&
           len >= needed(m, len) && m->exec_id[ID_LEN] == '\0';
}

static void on_link(void *arg, uint32_t events)
{
    static struct shim_msg m;
    int fds[FD_PASS_MAX];
    size_t nfds;
    ssize_t n;

    (void)arg;
    (void)events;
    n = fd_recv(link_watch.fd, &m, sizeof(m), fds, &nfds);
    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n <= 0) {
        drop_link();
        return;
    }
    if (is_known(&m, (size_t)n)) {
        handler->message(&m, fds, nfds);
        return;
    }
    while (nfds > 0)
        fd_close(fds[--nfds]);
}

static void use_link(int fd)
{
    fd_set_nonblock(fd, 1);
    fd_set_cloexec(fd, 1);
    watch_init(&link_watch, fd, on_link, NULL);
    watch_set(&link_watch, EPOLLIN);
}

static void on_listen(void *arg, uint32_t events)
{
    int fd = accept4(listen_watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer;
    socklen_t len = sizeof(peer);

    (void)arg;
    (void)events;
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != 0) {
        fd_close(fd);
        return;
    }
    if (link_watch.fd >= 0) {
        int old = link_watch.fd;

        watch_done(&link_watch);
        fd_close(old);
    }
    use_link(fd);
    handler->connected();
}

int control_init(const struct control_handler *h)
{
    handler = h;
    if (fcntl(SHIM_FD_CONTROL, F_GETFD) < 0)
        return -errno;
    use_link(SHIM_FD_CONTROL);
    return 0;
}

int control_run_dir(void)
{
    return run_dir_fd;
}

/* Bound from within the directory: sun_path is short, and a child of ours needs no /proc. */
int control_listen(const char *run_dir, struct err *reterr)
{
    static const struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = SHIM_SOCKET};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = 0;

    run_dir_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || run_dir_fd < 0 || fchdir(run_dir_fd) < 0)
        return err_sys(reterr, errno, "cannot use %s", run_dir);
    /* An old run's: it would pass for this one's. */
    unlinkat(run_dir_fd, SHIM_EXIT_FILE, 0);
    unlinkat(run_dir_fd, SHIM_SOCKET, 0);
    if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ||
        listen(fd, 8) < 0)
        r = -errno;
    if (chdir("/") < 0 || r < 0)
        return err_sys(reterr, r < 0 ? -r : errno, "cannot listen in %s", run_dir);
    watch_init(&listen_watch, TAKE_FD(fd), on_listen, NULL);
    watch_set(&listen_watch, EPOLLIN);
    return 0;
}

/* Closing a socket with unread packets in it resets the connection, and the daemon might take that
 * for the end before it has read our last message. */
void control_close(void)
{
    char byte;
    int fd = link_watch.fd;

    if (run_dir_fd >= 0)
        unlinkat(run_dir_fd, SHIM_SOCKET, 0);
    if (fd < 0)
        return;
    watch_done(&link_watch);
    shutdown(fd, SHUT_RD);
    while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0)
        ;
    fd_close(fd);
}

void control_send(struct shim_msg *m, const int *fds, size_t n)
{
    ssize_t r;

    if (link_watch.fd < 0)
        return;
    r = fd_send(link_watch.fd, m, shim_msg_size(m->type), fds, n);
    if (r < 0 && m->type != SHIM_WARNING && m->type != SHIM_LOG_ROTATED)
        drop_link();
}

static void set_id(struct shim_msg *m, const char *id)
{
    size_t n = strnlen(id, ID_LEN);

    memcpy(m->exec_id, id, n);
}

void control_send_state(enum shim_msg_type type, const char *exec_id, const struct shim_state *st)
{
    struct shim_msg m = {.type = type, .state = *st};

    set_id(&m, exec_id);
    control_send(&m, NULL, 0);
}

void control_send_fail(enum shim_msg_type type, const char *exec_id, const struct shim_fail *f)
{
    struct shim_msg m = {.type = type, .fail = *f};

    set_id(&m, exec_id);
    control_send(&m, NULL, 0);
}
