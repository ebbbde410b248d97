/* A cgroup of the shims' own.  A service manager that kills all of its service's processes
 * (`systemctl kill`, an OOM kill of the whole service) finds them by their cgroup: the shims, and
 * with them the containers, must not be found there.  Only the hierarchies that the manager tells
 * processes by matter: cgroup2, and on cgroup v1 the named one (cgroups(7), "named hierarchies").
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "path.h"
#include "str.h"

#define SHIMS_DIR "shims"

/* systemd.exec(5): the variable tells who was started by the service manager itself, and not by
 * something that was. */
static bool is_service(void)
{
    const char *pid = getenv("SYSTEMD_EXEC_PID");

    return pid && strtol(pid, NULL, 10) == getpid();
}

/* Mount point of v1's hierarchy name=systemd, or NULL; from proc(5)'s mountinfo. */
static char *named_mount(void)
{
    _cleanup_free_ char *mounts = NULL;
    char *line, *save = NULL;

    if (file_read(AT_FDCWD, "/proc/self/mountinfo", 16u << 20, &mounts) < 0)
        return NULL;
    for (line = strtok_r(mounts, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *type = strstr(line, " - cgroup ");
        char mount[256];

        if (type && strstr(type, "name=systemd") &&
            sscanf(line, "%*s %*s %*s %*s %255s", mount) == 1)
            return xstrdup(mount);
    }
    return NULL;
}

static char *make_dir(const struct cgroup *cg, const char *mount)
{
    _cleanup_free_ char *parent = path_join(mount, cg->parent);
    char *dir = path_join(parent, SHIMS_DIR);

    if (path_mkdir_p(parent, 0755) >= 0 && (mkdir(dir, 0755) == 0 || errno == EEXIST))
        return dir;
    free(dir);
    return NULL;
}

void cgroup_shims_prepare(struct cgroup *cg)
{
    _cleanup_free_ char *named = NULL;

    if (!is_service())
        return;
    named = named_mount();
    if (cg->v2 >= 0)
        cg->shims[0] = make_dir(cg, cg->layout.hierarchy[cg->v2].mount);
    if (named)
        cg->shims[1] = make_dir(cg, named);
}

bool cgroup_keeps_shims(const struct cgroup *cg)
{
    return cg->shims[0] || cg->shims[1];
}

void cgroup_take_shim(const struct cgroup *cg, pid_t pid)
{
    _cleanup_free_ char *text = xasprintf("%d", pid);

    /* ESRCH: it has ended already.  Anything else costs what this file is for, no more. */
    for (size_t i = 0; i < ARRAY_SIZE(cg->shims); i++) {
        if (cg->shims[i])
            cgroup_write(cg->shims[i], "cgroup.procs", text);
    }
}
