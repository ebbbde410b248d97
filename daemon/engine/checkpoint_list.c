/* Checkpoints: listing and removing them. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint_impl.h"
#include "names.h"

static void list_run(void *arg)
{
    struct checkpoint_job *j = arg;
    const struct dirent *entry;
    DIR *d;

    j->r = checkpoint_check_dir(j, &j->err);
    if (j->r < 0)
        return;
    checkpoint_adopt_finished(j);
    d = opendir(j->dir);
    j->list = json_array();
    while (d && (entry = readdir(d))) {
        _cleanup_json_ json_t *mark = NULL;

        if (name_is_valid(entry->d_name) &&
            checkpoint_read_mark(dirfd(d), entry->d_name, &mark) >= 0)
            json_array_append_new(j->list, json_pack("{s:s}", "Name", entry->d_name));
    }
    if (d)
        closedir(d);
}

static void after_list(void *arg)
{
    struct checkpoint_job *j = arg;

    j->done_list(j->arg, TAKE_PTR(j->list), j->r < 0 ? &j->err : NULL);
    checkpoint_job_free(j);
}

void engine_checkpoint_list(struct engine *e, const char *ref, const char *dir,
                            engine_json_fn *done, void *arg)
{
    struct checkpoint_job *j;
    struct err err;

    if (checkpoint_job_new(e, ref, dir, &j, &err) < 0) {
        done(arg, NULL, &err);
        return;
    }
    j->done_list = done;
    j->arg = arg;
    job_run(e, list_run, after_list, j);
}

/* ---- removing ---- */

/* Without its mark first: a half-removed one must not be taken for a whole. */
static int delete_checkpoint(const char *path)
{
    _cleanup_free_ char *mark = path_join(path, CHECKPOINT_MARK);

    if (unlink(mark) < 0 && errno != ENOENT)
        return -errno;
    return path_rm_rf(AT_FDCWD, path);
}

static void remove_run(void *arg)
{
    struct checkpoint_job *j = arg;
    _cleanup_free_ char *path = path_join(j->dir, j->name);
    _cleanup_json_ json_t *mark = NULL;
    int r;

    j->r = checkpoint_find(j, &mark, &j->err);
    if (j->r < 0)
        return;
    r = delete_checkpoint(path);
    if (r < 0)
        j->r = err_sys(&j->err, -r, "cannot remove checkpoint %s", j->name);
}

static void after_remove(void *arg)
{
    struct checkpoint_job *j = arg;

    j->done(j->arg, j->r < 0 ? &j->err : NULL);
    checkpoint_job_free(j);
}

void engine_checkpoint_remove(struct engine *e, const char *ref, const char *name, const char *dir,
                              engine_done_fn *done, void *arg)
{
    struct checkpoint_job *j = NULL;
    struct err err;
    int r = checkpoint_job_new(e, ref, dir, &j, &err);

    if (r >= 0)
        r = checkpoint_check_name(name, &err);
    if (checkpoint_job_named(j, name, r, &err, done, arg))
        job_run(e, remove_run, after_remove, j);
}
