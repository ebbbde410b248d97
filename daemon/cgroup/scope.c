#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "path.h"
#include "str.h"
#include "unit.h"

#define SUFFIX ".slice"
#define SLICE_MAX_LEN 255 /* as of any unit; each dash makes the path longer by all before it */
#define HOLD "hold"
#define WAIT_NS 2000000
#define WAIT_TRIES 5000 /* 10 s and more */
#define STOP_AFTER 100  /* tries that a unit of an ended run may go by itself */

/* systemd.slice(5): each dash is a level; "-.slice" is the root. */
int scope_slice_path(const char *slice, char **ret, struct err *reterr)
{
    size_t n = strlen(slice), stem = n - strlen(SUFFIX);
    char *path;

    if (n > SLICE_MAX_LEN)
        return err_set(reterr, ERR_INVALID, ENAMETOOLONG,
                       "slice name is longer than %d bytes: %.40s...", SLICE_MAX_LEN, slice);
    if (n <= strlen(SUFFIX) || !streq(slice + stem, SUFFIX))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "cgroup-parent for systemd cgroup should be a valid slice named as "
                       "\"xxx.slice\"");
    path = xstrdup("");
    for (size_t i = 0; !streq(slice, "-.slice") && i < stem; i++) {
        bool dash = slice[i] == '-';
        char *longer;

        if (slice[i] == '/' || (unsigned char)slice[i] <= ' ' ||
            (dash && (i == 0 || slice[i - 1] == '-')) || (dash && i + 1 == stem)) {
            free(path);
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid slice name: %s", slice);
        }
        if (!dash && i + 1 < stem)
            continue;
        longer = xasprintf("%s/%.*s" SUFFIX, path, (int)(dash ? i : i + 1), slice);
        free(path);
        path = longer;
    }
    *ret = path;
    return 0;
}

char *scope_unit(const struct cgroup *cg, const char *id)
{
    return xasprintf("%s-%s.scope", cg->parent + 1, id);
}

/* ---- the process that holds it ---- */

static int spawn_holder(struct cgroup_scope *s, int exe_fd, struct err *reterr)
{
    char exe[64], name[] = "containerd-lite-shim", hold[] = HOLD;
    char *argv[] = {name, hold, NULL}, *environment[] = {NULL};
    posix_spawn_file_actions_t fa;
    int pipes[2], r;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_sys(reterr, errno, "pipe");
    snprintf(exe, sizeof(exe), "/proc/self/fd/%d", exe_fd);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, pipes[0], 0);
    r = posix_spawn(&s->pid, exe, &fa, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&fa);
    close(pipes[0]);
    s->pipe = pipes[1];
    if (r != 0)
        s->pid = 0;
    return r == 0 ? 0 : err_sys(reterr, r, "cannot start a process for the scope");
}

static bool is_in(const char *dir, pid_t pid)
{
    _cleanup_free_ char *text = cgroup_read(dir, "cgroup.procs");
    _cleanup_free_ char *line = xasprintf("%d\n", pid);
    const char *at = text ? strstr(text, line) : NULL;

    return at && (at == text || at[-1] == '\n');
}

static void wait_step(void)
{
    nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
}

/* The unit of the last run goes when systemd notices that it is empty. */
static int start_unit(const char *unit, const char *slice, const char *id, pid_t pid,
                      struct err *reterr)
{
    _cleanup_free_ char *description = xasprintf("container %.12s", id);
    int r = -EEXIST;

    for (int i = 0; i < WAIT_TRIES && r == -EEXIST; i++) {
        if (i > 0)
            wait_step();
        if (i == STOP_AFTER)
            unit_stop(unit);
        r = unit_start_scope(unit, slice, description, pid, reterr);
    }
    return r;
}

/* Out of the scope's own cgroup, which then can hand down its controllers. */
static int settle(struct cgroup_scope *s, const struct cgroup *cg, const char *dir,
                  struct err *reterr)
{
    _cleanup_free_ char *text = xasprintf("%d", s->pid);
    int r = 0;

    for (int i = 0; i < WAIT_TRIES && !is_in(dir, s->pid); i++)
        wait_step();
    if (!is_in(dir, s->pid))
        return err_set(reterr, ERR_SYSTEM, ETIMEDOUT, "systemd made no cgroup %s", dir);
    s->hold = path_join(dir, HOLD);
    if (mkdir(s->hold, 0755) < 0 && errno != EEXIST)
        r = -errno;
    if (r >= 0)
        r = cgroup_write(s->hold, "cgroup.procs", text);
    if (r < 0)
        return err_sys(reterr, -r, "cannot set up cgroup %s", dir);
    cgroup_delegate(cg, dir);
    return 0;
}

int cgroup_scope_open(const struct cgroup *cg, const char *parent, const char *id, int exe_fd,
                      struct cgroup_scope *ret, struct err *reterr)
{
    _cleanup_(cgroup_scope_release) struct cgroup_scope s = CGROUP_SCOPE_NONE;
    const char *slice = str_empty(parent) ? cg->slice : parent;
    _cleanup_free_ char *unit = NULL, *path = NULL, *dir = NULL;
    int r;

    if (!cg->slice)
        return 0;
    r = scope_slice_path(slice, &path, reterr);
    if (r < 0)
        return r;
    unit = scope_unit(cg, id);
    dir = xasprintf("%s%s/%s", cg->layout.hierarchy[cg->v2].mount, path, unit);
    r = spawn_holder(&s, exe_fd, reterr);
    if (r >= 0)
        r = start_unit(unit, slice, id, s.pid, reterr);
    if (r >= 0)
        r = settle(&s, cg, dir, reterr);
    if (r < 0)
        return r;
    *ret = s;
    s = CGROUP_SCOPE_NONE;
    return 0;
}

void cgroup_scope_release(struct cgroup_scope *s)
{
    s->pipe = fd_close(s->pipe);
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    s->pid = 0;
    if (s->hold)
        rmdir(s->hold); /* not if the shim is in it */
    free(TAKE_PTR(s->hold));
}

int cgroup_scope_hand_over(struct cgroup_scope *s, pid_t shim, struct err *reterr)
{
    _cleanup_free_ char *text = xasprintf("%d", shim);
    int r = s->hold ? cgroup_write(s->hold, "cgroup.procs", text) : 0;

    return r < 0 ? err_sys(reterr, -r, "cannot move the shim to cgroup %s", s->hold) : 0;
}

/* ---- all of ours ---- */

int scope_list(const struct cgroup *cg, char ***ret)
{
    _cleanup_free_ char *path = NULL, *dir = NULL;
    size_t prefix = strlen(cg->parent + 1) + 1, suffix = strlen(".scope");
    char **ids = NULL;
    struct dirent *e;
    DIR *d;

    if (scope_slice_path(cg->slice, &path, NULL) < 0)
        return -EINVAL;
    dir = path_join(cg->layout.hierarchy[cg->v2].mount, path);
    d = opendir(dir);
    while (d && (e = readdir(d))) {
        const char *name = e->d_name;
        _cleanup_free_ char *id = NULL, *unit = NULL;

        if (strlen(name) <= prefix + suffix)
            continue;
        id = xstrndup(name + prefix, strlen(name) - prefix - suffix);
        unit = scope_unit(cg, id);
        if (streq(unit, name))
            ids = strv_append(ids, id);
    }
    if (d)
        closedir(d);
    *ret = ids;
    return 0;
}
