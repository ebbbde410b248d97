/* cp: files between a container and the local disk. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base64.h"
#include "commands.h"
#include "copy_path.h"
#include "human.h"
#include "json.h"
#include "path.h"
#include "str.h"
#include "tree.h"
#include "url.h"

#define MODE_DIR (1U << 31) /* Go's os.FileMode */
#define MODE_LINK (1U << 27)
#define MODE_DEVICE (1U << 26)
#define LINKS_MAX 10

const struct opt cp_opts[] = {
    OPT_BOOL("archive", 'a', struct cp_options, archive,
             "Archive mode (copy all uid/gid information)"),
    OPT_BOOL("follow-link", 'L', struct cp_options, follow_link,
             "Always follow symbol link in SRC_PATH"),
    OPT_BOOL("quiet", 'q', struct cp_options, quiet,
             "Suppress progress output during copy. Progress output is automatically suppressed if "
             "no terminal is attached"),
    OPT_END,
};

struct copy {
    struct client *client;
    const struct cp_options *opt;
    char *container;           /* owned */
    const char *source, *dest; /* borrowed; without the container */
};

static void tell_copied(const struct copy *c, int64_t bytes, const char *container,
                        const char *path)
{
    char size[HUMAN_MAX];

    if (c->opt->quiet || !isatty(STDOUT_FILENO))
        return;
    human_size((double)bytes, 3, size);
    fprintf(stderr, "Successfully copied %s to %s%s%s\n", size, container, *container ? ":" : "",
            path);
}

/* ---- the container's side ---- */

static char *archive_url(const struct copy *c, const char *path)
{
    char *url = url_format("/containers/%s/archive", c->container);

    url_add(&url, "path", path);
    return url;
}

struct path_stat {
    uint32_t mode;
    char *link_target; /* owned */
};

static int stat_decode(const char *header, struct path_stat *ret, struct err *reterr)
{
    _cleanup_free_ char *text = base64_decode(header ? header : "", NULL);
    _cleanup_json_ json_t *stat = text ? json_loads(text, 0, NULL) : NULL;

    if (!json_is_object(stat))
        return err_set(reterr, ERR_SYSTEM, EBADMSG,
                       "unable to get resource stat from response: no such header");
    ret->mode = (uint32_t)json_get_int(stat, "mode", 0);
    ret->link_target = xstrdup(json_get_str(stat, "linkTarget", ""));
    return 0;
}

static int container_stat(const struct copy *c, const char *path, struct path_stat *ret,
                          struct err *reterr)
{
    _cleanup_free_ char *url = archive_url(c, path);
    _cleanup_conn_ struct conn conn = CONN_INIT;
    struct request req = {.method = "HEAD", .path = url};
    int r = client_open(c->client, &req, &conn, reterr);

    if (r >= 0)
        r = stat_decode(conn.path_stat, ret, reterr);
    conn_release(c->client, &conn);
    return r;
}

/* Where a symlink in the container leads; relative targets come from its directory. */
static char *target_of(const char *path, const char *target)
{
    _cleanup_free_ char *dir = NULL, *base = NULL, *joined = NULL;

    if (*target == '/')
        return xstrdup(target);
    copy_split(path, &dir, &base);
    joined = path_join(dir, target);
    return path_clean(joined);
}

/* ---- the local side ---- */

/* Absolute, with the end that says what is meant. */
static int local_path(const char *path, char **ret, struct err *reterr)
{
    _cleanup_free_ char *joined = NULL, *clean = NULL;
    char cwd[PATH_MAX];

    if (*path != '/' && !getcwd(cwd, sizeof(cwd)))
        return err_sys(reterr, errno, "getwd");
    joined = *path == '/' ? xstrdup(path) : path_join(cwd, path);
    clean = path_clean(joined);
    *ret = copy_keep_end(clean, path);
    return 0;
}

static int not_there(const char *path, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, errno, "lstat %s: %s", path, err_text(errno));
}

/* Symlinks on the way are followed, the last name only with -L. */
static int local_source(const char *path, bool follow, struct copy_end *ret, struct err *reterr)
{
    _cleanup_free_ char *base = NULL, *dir = NULL, *real = NULL;
    const char *slash = strrchr(path, '/');
    struct stat sb;

    if (follow) {
        ret->path = realpath(path, NULL);
        if (!ret->path)
            return not_there(path, reterr);
        ret->rebase = copy_rebase_name(path, &ret->path);
    } else {
        dir = xstrndup(path, (size_t)(slash - path) + 1);
        real = realpath(dir, NULL);
        if (!real)
            return not_there(path, reterr);
        ret->path = xasprintf("%s/%s", streq(real, "/") ? "" : real, slash + 1);
        if (copy_has_slash(path)) {
            _cleanup_free_ char *theirs = copy_base(ret->path);

            base = copy_base(path);
            ret->rebase = streq(base, theirs) ? NULL : TAKE_PTR(base);
        }
    }
    if (lstat(ret->path, &sb) < 0)
        return not_there(path, reterr);
    ret->exists = true;
    ret->dir = S_ISDIR(sb.st_mode);
    return 0;
}

static int check_parent(const char *path, struct err *reterr)
{
    _cleanup_free_ char *dir = NULL, *base = NULL;
    struct stat sb;

    copy_split(path, &dir, &base);
    if (stat(dir, &sb) < 0)
        return err_set(reterr, ERR_INVALID, errno,
                       "invalid output path: directory \"%s\" does not exist", dir);
    return S_ISDIR(sb.st_mode) ? 0 : err_set(reterr, ERR_INVALID, ENOTDIR, "not a directory");
}

static int local_dest(const char *path, struct copy_end *ret, struct err *reterr)
{
    _cleanup_free_ char *at = xstrdup(path);
    struct stat sb;
    int r = check_parent(path, reterr);

    for (int i = 0; r >= 0 && lstat(at, &sb) == 0 && S_ISLNK(sb.st_mode); i++) {
        char target[PATH_MAX], *next;
        ssize_t n = readlink(at, target, sizeof(target) - 1);

        if (n < 0 || i == LINKS_MAX)
            return err_set(reterr, ERR_INVALID, ELOOP, "too many symbolic links in \"%s\"", path);
        target[n] = '\0';
        next = target_of(at, target);
        free(at);
        at = next;
        r = check_parent(at, reterr);
    }
    if (r < 0)
        return r;
    ret->exists = stat(at, &sb) == 0;
    ret->dir = ret->exists && S_ISDIR(sb.st_mode);
    if (ret->exists && !ret->dir && !S_ISREG(sb.st_mode))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid output path: \"%s\" must be a directory or a regular file", path);
    ret->path = TAKE_PTR(at);
    return 0;
}

/* ---- out of a container ---- */

static int fill(void *arg, struct buf *in, struct err *reterr)
{
    return conn_read_body(arg, in, reterr);
}

static int pass_on(struct conn *conn, struct err *reterr)
{
    _cleanup_buf_ struct buf data = {0};
    int r;

    while ((r = conn_read_body(conn, &data, reterr)) > 0) {
        int w = fd_write_all(STDOUT_FILENO, buf_head(&data), buf_size(&data));

        if (w < 0)
            return err_sys(reterr, -w, "write");
        buf_consume(&data, buf_size(&data));
    }
    return r;
}

static int unpack(const struct copy *c, struct conn *conn, const struct copy_end *src,
                  const char *path, struct err *reterr)
{
    _cleanup_(copy_end_done) struct copy_end dst = {0};
    _cleanup_free_ char *dir = NULL, *from = NULL, *as = NULL, *src_dir = NULL, *own = NULL;
    struct tar_reader tar = {.fill = fill, .arg = conn};
    int r = local_dest(path, &dst, reterr);

    if (r >= 0)
        r = copy_arrange(src, &dst, &dir, &from, &as, reterr);
    if (r < 0)
        return r;
    /* The archive has the name of what was followed to, not the one that was asked for. */
    copy_split(src->path, &src_dir, &own);
    if (src->rebase) {
        free(from);
        from = TAKE_PTR(own);
        as = as ? as : xstrdup(src->rebase);
    }
    r = tree_unpack(&tar, dir, from, as, reterr);
    if (r >= 0)
        tell_copied(c, tar.total, "", path);
    tar_reader_done(&tar);
    return r;
}

/* -L: the path that a symlink leads to, and the name it keeps. */
static void follow_source(const struct copy *c, struct copy_end *src)
{
    struct path_stat stat = {0};
    struct err ignored;
    char *target;

    if (container_stat(c, src->path, &stat, &ignored) < 0 || !(stat.mode & MODE_LINK)) {
        free(stat.link_target);
        return;
    }
    target = target_of(src->path, stat.link_target);
    src->rebase = copy_rebase_name(src->path, &target);
    free(src->path);
    src->path = target;
    free(stat.link_target);
}

static int copy_out(const struct copy *c, struct err *reterr)
{
    _cleanup_(copy_end_done) struct copy_end src = {.path = xstrdup(c->source), .exists = true};
    _cleanup_conn_ struct conn conn = CONN_INIT;
    _cleanup_free_ char *dest = NULL, *url = NULL;
    struct request req = {.method = "GET"};
    struct path_stat stat = {0};
    bool out = streq(c->dest, "-");
    int r = out ? 0 : local_path(c->dest, &dest, reterr);

    if (r >= 0 && !out)
        r = check_parent(dest, reterr);
    if (r < 0)
        return r;
    if (c->opt->follow_link)
        follow_source(c, &src);
    req.path = url = archive_url(c, src.path);
    r = client_open(c->client, &req, &conn, reterr);
    if (r >= 0)
        r = stat_decode(conn.path_stat, &stat, reterr);
    free(stat.link_target);
    if (r < 0)
        return r;
    src.dir = stat.mode & MODE_DIR;
    return out ? pass_on(&conn, reterr) : unpack(c, &conn, &src, dest, reterr);
}

/* ---- into a container ---- */

/* The archive comes from a child, which tells how it went by a second pipe. */
struct producer {
    pid_t pid;
    int data, result;
};

struct produced {
    int64_t bytes;
    struct err err;
};

/* Wait for input; false once nobody reads what it goes to. */
static bool stdin_is_wanted(int fd)
{
    struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd}};

    while (poll(p, ARRAY_SIZE(p), -1) < 0 && errno == EINTR)
        ;
    return p[1].revents == 0;
}

static int copy_stdin(int fd, int64_t *ret_total, struct err *reterr)
{
    static char data[256 * 1024];
    ssize_t n;

    *ret_total = 0;
    while (stdin_is_wanted(fd) && (n = read(STDIN_FILENO, data, sizeof(data))) != 0) {
        int r = n < 0 ? -errno : fd_write_all(fd, data, (size_t)n);

        if (r == -EINTR)
            continue;
        if (r < 0)
            return err_sys(reterr, -r, "stdin");
        *ret_total += n;
    }
    return 0;
}

/* src NULL: standard input. */
static void produce(const struct copy_end *src, const char *as, int data, int result)
{
    _cleanup_free_ char *dir = NULL, *base = NULL;
    struct produced p = {0};

    signal(SIGPIPE, SIG_IGN);
    if (src) {
        copy_split(src->path, &dir, &base);
        tree_pack(dir, base, as ? as : src->rebase ? src->rebase : base, data, &p.bytes, &p.err);
    } else {
        copy_stdin(data, &p.bytes, &p.err);
    }
    fd_write_all(result, &p, sizeof(p));
    _exit(0);
}

static int producer_start(const struct copy_end *src, const char *as, struct producer *ret,
                          struct err *reterr)
{
    int data[2], result[2];

    if (pipe2(data, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0)
        return err_sys(reterr, errno, "pipe");
    fcntl(data[1], F_SETPIPE_SZ, 1 << 20);
    ret->pid = fork();
    if (ret->pid < 0)
        return err_sys(reterr, errno, "fork");
    if (ret->pid == 0) {
        close(data[0]);
        produce(src, as, data[1], result[1]);
    }
    close(data[1]);
    close(result[1]);
    ret->data = data[0];
    ret->result = result[0];
    return 0;
}

static int producer_end(struct producer *p, int64_t *ret_bytes, struct err *reterr)
{
    struct produced result = {0};
    int r;

    close(p->data);
    r = fd_read_exact(p->result, &result, sizeof(result));
    close(p->result);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *ret_bytes = result.bytes;
    if (r < 0)
        return err_set(reterr, ERR_SYSTEM, EPIPE, "the archive was not finished");
    if (result.err.kind == ERR_NONE)
        return 0;
    *reterr = result.err;
    return -EIO;
}

static int send_archive(const struct copy *c, const char *dir, const struct copy_end *src,
                        const char *as, int64_t *ret_bytes, struct err *reterr)
{
    _cleanup_free_ char *url = archive_url(c, dir);
    struct err failed = {0};
    struct producer p = {.data = -EBADF, .result = -EBADF};
    struct request req = {.method = "PUT"};
    int r = producer_start(src, as, &p, reterr), e;

    if (r < 0)
        return r;
    url_add(&url, "noOverwriteDirNonDir", "true");
    url_add_bool(&url, "copyUIDGID", c->opt->archive);
    req.path = url;
    req.body_fd = p.data;
    r = client_call(c->client, &req, NULL, reterr);
    e = producer_end(&p, ret_bytes, &failed);
    /* The daemon's refusal is why the rest could not be sent. */
    if (r < 0 || e >= 0)
        return r;
    *reterr = failed;
    return e;
}

static int container_dest(const struct copy *c, struct copy_end *ret, struct err *reterr)
{
    struct path_stat stat = {0};
    struct err ignored;
    int r;

    ret->path = xstrdup(c->dest);
    r = container_stat(c, ret->path, &stat, &ignored);
    if (r >= 0 && stat.mode & MODE_LINK) {
        char *target = target_of(ret->path, stat.link_target);

        free(ret->path);
        ret->path = target;
        free(TAKE_PTR(stat.link_target));
        stat.mode = 0;
        r = container_stat(c, target, &stat, &ignored);
    }
    free(stat.link_target);
    ret->exists = r >= 0;
    ret->dir = ret->exists && stat.mode & MODE_DIR;
    if (ret->exists && stat.mode & MODE_DEVICE)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "destination \"%s:%s\" must be a directory or a regular file: got a device",
                       c->container, c->dest);
    return 0;
}

static int copy_in(const struct copy *c, struct err *reterr)
{
    _cleanup_(copy_end_done) struct copy_end src = {0}, dst = {0};
    _cleanup_free_ char *path = NULL, *dir = NULL, *from = NULL, *as = NULL;
    bool in = streq(c->source, "-");
    int64_t bytes;
    int r = in ? 0 : local_path(c->source, &path, reterr);

    if (r >= 0)
        r = container_dest(c, &dst, reterr);
    if (r >= 0 && in && !dst.dir)
        return err_set(reterr, ERR_INVALID, ENOTDIR, "destination \"%s:%s\" must be a directory",
                       c->container, c->dest);
    if (r >= 0 && !in)
        r = local_source(path, c->opt->follow_link, &src, reterr);
    if (r >= 0 && !in)
        r = copy_arrange(&src, &dst, &dir, &from, &as, reterr);
    if (r >= 0)
        r = send_archive(c, in ? dst.path : dir, in ? NULL : &src, as, &bytes, reterr);
    if (r >= 0)
        tell_copied(c, bytes, c->container, dst.path);
    return r;
}

/* ---- the command ---- */

/* "CONTAINER:PATH"; NULL and the whole if it is a local path. */
static char *split_argument(const char *arg, const char **ret_path)
{
    const char *colon = strchr(arg, ':');

    *ret_path = arg;
    if (*arg == '/' || *arg == '.' || !colon)
        return NULL;
    *ret_path = colon + 1;
    return xstrndup(arg, (size_t)(colon - arg));
}

static int run(struct invocation *inv, struct err *reterr)
{
    struct copy c = {.client = inv->client, .opt = inv->options};
    _cleanup_free_ char *from = split_argument(inv->args[0], &c.source);
    _cleanup_free_ char *to = split_argument(inv->args[1], &c.dest);

    if (!*inv->args[0] || !*inv->args[1])
        return err_set(reterr, ERR_INVALID, EINVAL, "%s can not be empty",
                       *inv->args[0] ? "destination" : "source");
    if (from && to)
        return err_set(reterr, ERR_INVALID, EINVAL, "copying between containers is not supported");
    if (!from && !to)
        return err_set(reterr, ERR_INVALID, EINVAL, "must specify at least one container source");
    c.container = from ? from : to;
    return from ? copy_out(&c, reterr) : copy_in(&c, reterr);
}

int cmd_cp(struct invocation *inv)
{
    struct err e = {0};

    return run(inv, &e) < 0 ? cli_fail(inv, &e) : 0;
}
