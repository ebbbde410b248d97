/* Which driver a data root has. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "driver.h"
#include "fd.h"
#include "log.h"
#include "storage_impl.h"
#include "str.h"

/* One line: the name of the driver that made what is in the data root. */
#define RECORD "driver"
#define RECORD_MAX 64

#define XFS_MAGIC 0x58465342
#define ZFS_MAGIC 0x2fc12fc1

/* In the order of choice. */
static const struct driver *const drivers[] = {&overlay_driver, &btrfs_driver, &vfs_driver};

static const struct driver *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        for (const char *const *alias = drivers[i]->aliases; *alias; alias++) {
            if (streq(*alias, name))
                return drivers[i];
        }
    }
    return NULL;
}

/* Data roots of before there was a choice have no record. */
static const struct driver *recorded(int root_fd)
{
    _cleanup_free_ char *name = NULL;

    if (file_read(root_fd, RECORD, RECORD_MAX, &name) >= 0) {
        name[strcspn(name, "\n")] = '\0';
        return find(name);
    }
    return faccessat(root_fd, LAYERS_DIR, F_OK, 0) == 0 ? &overlay_driver : NULL;
}

static bool is_empty(int root_fd, const char *dir)
{
    _cleanup_close_ int fd = openat(root_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    _cleanup_(strv_freep) char **names = NULL;

    return fd < 0 ? errno == ENOENT : storage_list_dir(fd, &names) >= 0 && strv_len(names) == 0;
}

static int record(int root_fd, const char *root, const struct driver *d, struct err *reterr)
{
    _cleanup_free_ char *line = xasprintf("%s\n", d->name);
    int r = file_replace(root_fd, RECORD, line, strlen(line), 0644, true);

    return r < 0 ? err_sys(reterr, -r, "write %s/" RECORD, root) : 0;
}

static int probe_all(int root_fd, const char *root, const struct driver **ret, struct err *reterr)
{
    struct err first = {0}, e = {0};

    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        if (drivers[i]->probe(root_fd, root, &e) >= 0) {
            if (i > 0)
                log_warn("storage driver %s is used: %s", drivers[i]->name, first.message);
            *ret = drivers[i];
            return 0;
        }
        if (i == 0)
            first = e;
    }
    if (reterr)
        *reterr = first;
    return -first.errnum;
}

static int choose(const char *name, const struct driver *had, int root_fd, const char *root,
                  const struct driver **ret, struct err *reterr)
{
    const struct driver *d = str_empty(name) ? had : find(name);

    if (!d && str_empty(name))
        return probe_all(root_fd, root, ret, reterr);
    if (!d)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "unknown storage driver \"%s\" (this daemon has: overlay2, btrfs, vfs)",
                       name);
    *ret = d;
    return d->probe(root_fd, root, reterr);
}

int driver_select(const char *name, int root_fd, const char *root, const struct driver **ret,
                  struct err *reterr)
{
    const struct driver *had = recorded(root_fd), *d;
    int r;

    if (had && is_empty(root_fd, LAYERS_DIR) && is_empty(root_fd, CONTAINERS_DIR))
        had = NULL;
    r = choose(name, had, root_fd, root, &d, reterr);
    if (r < 0)
        return r;
    if (had && had != d)
        return err_set(reterr, ERR_CONFLICT, EEXIST,
                       "the images and containers in %s were made with the storage driver %s, "
                       "which another one cannot read: start with --storage-driver %s, or with "
                       "another --data-root",
                       root, had->name, had->name);
    r = had ? 0 : record(root_fd, root, d, reterr);
    if (r >= 0)
        *ret = d;
    return r;
}

const char *driver_backing_fs(int fd)
{
    static const struct {
        long magic;
        const char *name;
    } names[] = {
        {EXT4_SUPER_MAGIC, "extfs"},
        {XFS_MAGIC, "xfs"},
        {BTRFS_SUPER_MAGIC, "btrfs"},
        {TMPFS_MAGIC, "tmpfs"},
        {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
        {F2FS_SUPER_MAGIC, "f2fs"},
        {ZFS_MAGIC, "zfs"},
        {NFS_SUPER_MAGIC, "nfs"},
    };
    struct statfs sb;

    for (size_t i = 0; fstatfs(fd, &sb) == 0 && i < ARRAY_SIZE(names); i++) {
        if (names[i].magic == sb.f_type)
            return names[i].name;
    }
    return "<unknown>";
}

char *driver_layer_path(const char *root, const char *chain_id)
{
    return xasprintf("%s/" LAYERS_DIR "/%s/" LAYER_DIFF, root, chain_id);
}
