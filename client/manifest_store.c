#include "manifest_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "credentials.h"
#include "fd.h"
#include "json.h"
#include "manifest.h"
#include "path.h"
#include "str.h"

/* No name can leave the directory: it has a host in front, and no '/' any more. */
static char *file_name(const struct reference *ref)
{
    char *name = reference_canonical(ref);

    for (char *p = name; *p; p++)
        *p = (char)(*p == ':' ? '-' : *p == '/' ? '_' : *p);
    return name;
}

static char *list_path(const struct reference *list)
{
    _cleanup_free_ char *root = credentials_path("manifests"), *name = file_name(list);

    return path_join(root, name);
}

static int no_such(const struct reference *ref, struct err *reterr)
{
    _cleanup_free_ char *name = reference_canonical(ref);

    return err_set(reterr, ERR_NOT_FOUND, ENOENT, "No such manifest: %s", name);
}

/* shown: what is missing if the file is. */
static int read_entry(const char *path, const struct reference *shown, json_t **ret,
                      struct err *reterr)
{
    _cleanup_free_ char *text = NULL;
    ssize_t n = file_read(AT_FDCWD, path, MANIFEST_ENTRY_MAX, &text);

    if (n == -ENOENT)
        return no_such(shown, reterr);
    if (n < 0)
        return err_sys(reterr, (int)-n, "%s", path);
    *ret = json_loadb(text, (size_t)n, 0, NULL);
    if (json_get_str(json_get(*ret, "Descriptor"), "digest", NULL) &&
        json_get_str(*ret, "Ref", NULL))
        return 0;
    json_decref(*ret);
    *ret = NULL;
    return err_set(reterr, ERR_INVALID, EBADMSG, "invalid manifest file %s", path);
}

int manifest_store_get(const struct reference *list, const struct reference *manifest, json_t **ret,
                       struct err *reterr)
{
    _cleanup_free_ char *dir = list_path(list), *name = file_name(manifest);
    _cleanup_free_ char *path = path_join(dir, name);

    return read_entry(path, manifest, ret, reterr);
}

static int is_entry(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* In the order of bytes, as Go sorts. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int manifest_store_list(const struct reference *list, json_t **ret, struct err *reterr)
{
    _cleanup_free_ char *dir = list_path(list);
    _cleanup_json_ json_t *all = json_array();
    struct dirent **names;
    int n = scandir(dir, &names, is_entry, by_name), r = 0;

    if (n < 0)
        return errno == ENOENT ? no_such(list, reterr) : err_sys(reterr, errno, "%s", dir);
    if (n > MANIFEST_ENTRIES_MAX)
        r = err_set(reterr, ERR_INVALID, E2BIG, "%s has more than %d entries", dir,
                    MANIFEST_ENTRIES_MAX);
    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *path = path_join(dir, names[i]->d_name);
        json_t *entry;

        if (r >= 0)
            r = read_entry(path, list, &entry, reterr);
        if (r >= 0)
            json_array_append_new(all, entry);
        free(names[i]);
    }
    free(names);
    if (r >= 0)
        *ret = TAKE_PTR(all);
    return r < 0 ? r : 0;
}

int manifest_store_save(const struct reference *list, const struct reference *manifest,
                        const json_t *entry, struct err *reterr)
{
    _cleanup_free_ char *dir = list_path(list), *name = file_name(manifest);
    _cleanup_free_ char *path = path_join(dir, name), *text = manifest_json(entry);
    int r = path_mkdir_p(dir, 0755);

    if (r >= 0)
        r = file_replace(AT_FDCWD, path, text, strlen(text), 0644, 0);
    return r < 0 ? err_sys(reterr, -r, "cannot write %s", path) : 0;
}

int manifest_store_remove(const struct reference *list, struct err *reterr)
{
    _cleanup_free_ char *dir = list_path(list);
    int r = path_rm_rf(AT_FDCWD, dir);

    return r < 0 ? err_sys(reterr, -r, "cannot remove %s", dir) : 0;
}
