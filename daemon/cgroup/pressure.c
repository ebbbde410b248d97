/* Being told that a container runs short of memory: v1's eventfd notifications (admin-guide/
 * cgroup-v1/memory.rst, "OOM Control" and "Memory Pressure"), v2's files that can be polled
 * (admin-guide/cgroup-v2.rst, memory.events; accounting/psi.rst, "Monitoring for pressure
 * thresholds"). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "path.h"

/* All in all 150 ms of each 2 s that some task waits for memory. */
#define PSI_TRIGGER "some 150000 2000000"
#define V1_PRESSURE_LEVEL "medium"

static int open_file(const char *dir, const char *file, int flags)
{
    _cleanup_free_ char *path = path_join(dir, file);
    int fd = open(path, flags | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The files need not stay open: the kernel holds on to the eventfd and the cgroup. */
static int notify_v1(const char *dir, const char *file, const char *argument)
{
    _cleanup_close_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    _cleanup_close_ int fd = open_file(dir, file, O_RDONLY);
    char text[64];
    int r;

    if (event < 0)
        return -errno;
    if (fd < 0)
        return fd;
    snprintf(text, sizeof(text), "%d %d %s", event, fd, argument);
    r = cgroup_write(dir, "cgroup.event_control", text);
    return r < 0 ? r : TAKE_FD(event);
}

static int open_events_v2(const char *dir)
{
    _cleanup_close_ int fd = open_file(dir, "memory.events", O_RDONLY);
    char text[512];

    /* What was read is what a poll compares with. */
    if (fd >= 0 && read(fd, text, sizeof(text)) < 0)
        return -errno;
    return fd < 0 ? fd : TAKE_FD(fd);
}

static int open_pressure_v2(const char *dir)
{
    _cleanup_close_ int fd = open_file(dir, "memory.pressure", O_RDWR | O_NONBLOCK);

    if (fd >= 0 && write(fd, PSI_TRIGGER, strlen(PSI_TRIGGER) + 1) < 0)
        return -errno;
    return fd < 0 ? fd : TAKE_FD(fd);
}

int cgroup_memory_watch(const struct cgroup *cg, const char *parent, const char *id,
                        struct cgroup_memory_watch *ret)
{
    _cleanup_free_ char *dir = cgroup_path(cg, CGROUP_MEMORY, parent, id);
    bool v2 = cgroup_on_v2(cg, CGROUP_MEMORY);

    if (!dir)
        return -ENOENT;
    ret->v2 = v2;
    ret->oom = v2 ? open_events_v2(dir) : notify_v1(dir, "memory.oom_control", "");
    ret->pressure =
        v2 ? open_pressure_v2(dir) : notify_v1(dir, "memory.pressure_level", V1_PRESSURE_LEVEL);
    return ret->oom < 0 && ret->pressure < 0 ? ret->oom : 0;
}

bool cgroup_is_out_of_memory(const struct cgroup *cg, const char *parent, const char *id)
{
    _cleanup_free_ char *dir = cgroup_path(cg, CGROUP_MEMORY, parent, id);

    return dir && !cgroup_on_v2(cg, CGROUP_MEMORY) &&
           cgroup_read_key(dir, "memory.oom_control", "under_oom", 0) > 0;
}
