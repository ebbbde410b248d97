/* Root file systems of containers: what is the same for all drivers. */
#include <errno.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytesize.h"
#include "fd.h"
#include "storage_impl.h"
#include "str.h"

int storage_rootfs_prepare(struct storage *st, const struct rootfs_spec *spec, struct err *reterr)
{
    const char *container_id = spec->container_id;

    if (!str_is_hex(container_id, ID_LEN))
        return err_set(reterr, ERR_INVALID, EINVAL, "bad container id");
    if (mkdirat(st->containers_fd, container_id, 0710) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "mkdir %s/containers/%s", st->root, container_id);
    /* Only the group is the container's: its root passes through, but never writes here. */
    if (spec->gid &&
        fchownat(st->containers_fd, container_id, 0, spec->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(reterr, errno, "chown %s/containers/%s", st->root, container_id);
    return st->driver->prepare(st, spec, reterr);
}

void storage_rootfs_dirs(const struct storage *st, const struct rootfs_spec *spec,
                         struct rootfs_dirs *ret)
{
    *ret = (struct rootfs_dirs){0};
    st->driver->dirs(st, spec, ret);
}

void rootfs_dirs_done(struct rootfs_dirs *dirs)
{
    free(TAKE_PTR(dirs->upper));
    free(TAKE_PTR(dirs->work));
    strv_free(TAKE_PTR(dirs->lowers));
    strv_free(TAKE_PTR(dirs->base));
}

char *storage_container_path(const struct storage *st, const char *container_id, const char *leaf)
{
    return xasprintf("%s/containers/%s%s%s", st->root, container_id, leaf ? "/" : "",
                     leaf ? leaf : "");
}

int storage_size(const struct storage *st, const json_t *options, int64_t *ret, struct err *reterr)
{
    const json_t *value;
    const char *key;
    int64_t size = 0;
    int r = 0;

    json_object_foreach ((json_t *)options, key, value) {
        /* Whatever they are: dockerd says this first. */
        if (st->driver->limit_probe)
            r = st->driver->limit_probe(st->root_fd, reterr);
        if (r >= 0 && strcasecmp(key, "size"))
            r = err_set(reterr, ERR_INVALID, EINVAL, "Unknown option %s", key);
        if (r >= 0)
            r = bytesize_parse(json_string_value(value) ?: "", &size, reterr);
        if (r < 0)
            return r;
    }
    *ret = size;
    return 0;
}

int storage_container_remove(struct storage *st, const char *container_id, char **ret_trash,
                             struct err *reterr)
{
    if (st->driver->limit_drop && str_is_hex(container_id, ID_LEN))
        st->driver->limit_drop(st, container_id);
    return storage_remove_named(st, st->containers_fd, "containers", container_id, ret_trash,
                                reterr);
}

int storage_rootfs_usage(struct storage *st, const char *container_id, int64_t *ret,
                         struct err *reterr)
{
    int r = str_is_hex(container_id, ID_LEN) ? st->driver->usage(st, container_id, ret) : -EINVAL;

    return r < 0 ? err_sys(reterr, -r, "size of %s/" CONTAINERS_DIR "/%s", st->root, container_id)
                 : 0;
}

json_t *storage_graph_data(const struct storage *st, const char *container_id,
                           const char *const *chain_ids, size_t n_layers)
{
    json_t *data = st->driver->graph_data
                       ? st->driver->graph_data(st->root, container_id, chain_ids, n_layers)
                       : json_null();

    return json_pack("{s:s,s:o}", "Name", st->driver->name, "Data", data);
}
