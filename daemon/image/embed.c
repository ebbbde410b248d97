/* The images that come with the program, for a store that has none. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "fd.h"
#include "image_private.h"
#include "log.h"
#include "path.h"

struct embed {
    struct images *im;
    char **files; /* owned, absolute */
    size_t next;
    void (*done)(void *arg);
    void *arg;
};

static void load_next(struct embed *e);

static void loaded(void *arg, const struct err *err)
{
    struct embed *e = arg;

    if (err)
        log_warn("image %s: %s", e->files[e->next], err->message);
    e->next++;
    load_next(e);
}

static void load_next(struct embed *e)
{
    struct image_job_callbacks cb = {.arg = e, .done = loaded};

    for (; e->files[e->next]; e->next++) {
        int fd = open(e->files[e->next], O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct err err;

        if (fd < 0)
            err_sys(&err, errno, "open");
        else if (images_load(e->im, fd, true, &cb, &err))
            return;
        log_warn("image %s: %s", e->files[e->next], err.message);
    }
    e->done(e->arg);
    strv_free(e->files);
    free(e);
}

static char **list_archives(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    char **v = NULL;

    while (d && (entry = readdir(d))) {
        if (str_ends(entry->d_name, ".tar")) {
            _cleanup_free_ char *path = path_join(dir, entry->d_name);

            v = strv_append(v, path);
        }
    }
    if (d)
        closedir(d);
    return v;
}

int images_embed(struct images *im, const char *dir, void (*done)(void *arg), void *arg)
{
    struct embed *e;
    char **files;

    if (images_count(im) != 0)
        return 0;
    files = list_archives(dir);
    if (!files)
        return 0;
    e = xcalloc(1, sizeof(*e));
    *e = (struct embed){.im = im, .files = files, .done = done, .arg = arg};
    load_next(e);
    return 1;
}
