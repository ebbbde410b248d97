/* A cgroup of the shims' own.  A service manager that kills all of its service's processes
 * (`systemctl kill`, an OOM kill of the whole service) finds them by their cgroup: the shims, and
 * with them the containers, must not be found there.  Only the hierarchies that the manager tells
 * processes by matter: cgroup2, and on cgroup v1 the named one (cgroups(7), "named hierarchies").
 * In cgroup2 a container is born in its own cgroup; in the named one it joins its own only where
 * there is no cgroup2. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_impl.h"
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

void cgroup_join_named(struct cgroup *cg)
{
    struct cgroup_layout *l = &cg->layout;

    if (!l->named_mount || cg->v2 >= 0 || !is_service() || l->n == CGROUP_HIERARCHIES_MAX)
        return;
    l->hierarchy[l->n++] = (struct cgroup_hierarchy){.mount = xstrdup(l->named_mount),
                                                     .name = xstrdup("systemd"),
                                                     .options = xstrdup("name=systemd"),
                                                     .named = true};
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
    if (!is_service() || cg->slice) /* they are in the scopes */
        return;
    if (cg->v2 >= 0)
        cg->shims[0] = make_dir(cg, cg->layout.hierarchy[cg->v2].mount);
    if (cg->layout.named_mount)
        cg->shims[1] = make_dir(cg, cg->layout.named_mount);
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
