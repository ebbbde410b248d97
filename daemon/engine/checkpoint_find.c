/* Checkpoints: names, jobs, and what of them is on disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint_impl.h"
#include "criu.h"
#include "fd.h"
#include "log.h"
#include "names.h"
#include "trusted.h"

#define OWN_DIR "checkpoints"
#define MARK_MAX 65536
#define TMP_LEN strlen(".0123456789ab.tmp")

void checkpoint_job_free(struct checkpoint_job *j)
{
    container_unref(j->container);
    json_decref(j->mark);
    json_decref(j->list);
    fd_close(j->pidfd);
    free(j->dir);
    free(j->name);
    free(j->made);
    free(j);
}

bool checkpoint_job_named(struct checkpoint_job *j, const char *name, int r, const struct err *err,
                          engine_done_fn *done, void *arg)
{
    if (r < 0) {
        if (j)
            checkpoint_job_free(j);
        done(arg, err);
        return false;
    }
    j->name = xstrdup(name);
    j->done = done;
    j->arg = arg;
    return true;
}

/* ---- names ---- */

int checkpoint_check_name(const char *name, struct err *reterr)
{
    if (name_is_valid(name) && strlen(name) < CHECKPOINT_NAME_MAX)
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "Invalid checkpoint ID (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
}

static int choose_dir(const struct container *c, const char *wanted, char **ret, struct err *reterr)
{
    if (str_empty(wanted)) {
        *ret = container_dir(c, OWN_DIR);
        return 0;
    }
    if (*wanted != '/' || strlen(wanted) >= PATH_MAX - CHECKPOINT_NAME_MAX - NAME_MAX)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid checkpoint directory \"%.200s\": it must be an absolute path that "
                       "is not too long",
                       wanted);
    *ret = path_clean(wanted);
    return 0;
}

/* A job about this container's checkpoints; done is called with the error otherwise. */
int checkpoint_job_new(struct engine *e, const char *ref, const char *dir,
                       struct checkpoint_job **ret, struct err *reterr)
{
    _cleanup_free_ char *path = NULL;
    struct container *c;
    int r = registry_find(e, ref, &c, reterr);

    if (r >= 0)
        r = choose_dir(c, dir, &path, reterr);
    if (r < 0)
        return r;
    *ret = xcalloc(1, sizeof(**ret));
    (*ret)->container = container_ref(c);
    (*ret)->busy = c->checkpointing;
    (*ret)->dir = TAKE_PTR(path);
    (*ret)->elsewhere = !str_empty(dir);
    (*ret)->pidfd = -EBADF;
    snprintf((*ret)->container_name, sizeof((*ret)->container_name), "%s", c->name);
    return 0;
}

/* ---- what cannot have one ---- */

static bool has_private(const struct container *c, enum runtime_ns which)
{
    enum runtime_ns_mode mode = runtime_ns_mode(c->host_config, which, NULL);

    return mode == RUNTIME_NS_PRIVATE || mode == RUNTIME_NS_SHAREABLE || mode == RUNTIME_NS_NONE;
}

/* What criu cannot dump, or a restore could not give back. */
static const char *obstacle(const struct container *c)
{
    if (!has_private(c, RUNTIME_NS_PID))
        return "a pid namespace that is not its own";
    if (runtime_ns_mode(c->host_config, RUNTIME_NS_IPC, NULL) == RUNTIME_NS_CONTAINER)
        return "another container's ipc namespace";
    if (streq(json_get_str(c->host_config, "UsernsMode", ""), "auto"))
        return "a user namespace";
    if (json_get_bool(c->host_config, "Init", false))
        return "an init of ours (--init)";
    return NULL;
}

int checkpoint_check_possible(const struct container *c, struct err *reterr)
{
    const char *what;

    if (c->tty)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "checkpoint not support on containers with tty");
    what = obstacle(c);
    return what ? err_set(reterr, ERR_INVALID, EINVAL,
                          "checkpoints of containers with %s are not supported", what)
                : 0;
}

/* ---- what is there; any thread ---- */

/* A directory that a client names may be in a container's hands, too: no link is followed from
 * there, and nobody waits for what is no file. */
static int open_mark(int dirfd, const char *checkpoint)
{
    _cleanup_close_ int dir =
        openat(dirfd, checkpoint, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int fd = -EBADF;
    struct stat st;

    if (dir < 0)
        return -errno;
    fd = openat(dir, CHECKPOINT_MARK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) && st.st_size <= MARK_MAX ? TAKE_FD(fd) : -EINVAL;
}

int checkpoint_read_mark(int dirfd, const char *checkpoint, json_t **ret)
{
    _cleanup_close_ int fd = open_mark(dirfd, checkpoint);

    if (fd < 0)
        return fd;
    *ret = json_loadfd(fd, 0, NULL);
    if (json_get_int(*ret, "Version", 0) == CHECKPOINT_MARK_VERSION)
        return 0;
    json_decref(TAKE_PTR(*ret));
    return -EINVAL;
}

/* A daemon that is killed while criu dumps leaves it to finish: a container that has ended by that
 * is not to be lost.  The directory is ".NAME.ID.tmp". */
static void adopt(const char *dir, const char *entry)
{
    size_t n = strlen(entry);
    _cleanup_free_ char *name = n > TMP_LEN + 1 ? xstrndup(entry + 1, n - TMP_LEN - 1) : NULL;
    _cleanup_free_ char *from = path_join(dir, entry), *last = path_join(from, CRIU_FINISHED);
    _cleanup_free_ char *to = name ? path_join(dir, name) : NULL;
    _cleanup_json_ json_t *mark = NULL;

    if (!name || !name_is_valid(name) || access(last, F_OK) < 0 ||
        checkpoint_read_mark(AT_FDCWD, from, &mark) < 0 ||
        renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
        return;
    log_info("checkpoint %s was complete though nobody had waited for it", to);
}

void checkpoint_adopt_finished(const struct checkpoint_job *j)
{
    DIR *d = j->busy ? NULL : opendir(j->dir);
    const struct dirent *entry;

    while (d && (entry = readdir(d))) {
        if (*entry->d_name == '.' && str_ends(entry->d_name, ".tmp"))
            adopt(j->dir, entry->d_name);
    }
    if (d)
        closedir(d);
}

static int not_there(const struct checkpoint_job *j, struct err *reterr)
{
    return err_set(reterr, ERR_NOT_FOUND, ENOENT, "checkpoint %s does not exist for container %s",
                   j->name, j->container_name);
}

int checkpoint_check_dir(struct checkpoint_job *j, struct err *reterr)
{
    char *real;
    int r = j->elsewhere ? trusted_dir(j->dir, &real, reterr) : 0;

    if (r < 0)
        return err_wrap(reterr, "the checkpoint directory cannot be used");
    if (j->elsewhere) {
        free(j->dir);
        j->dir = real;
    }
    return 0;
}

int checkpoint_find(struct checkpoint_job *j, json_t **ret, struct err *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r = checkpoint_check_dir(j, reterr);

    if (r < 0)
        return r;
    path = path_join(j->dir, j->name);
    checkpoint_adopt_finished(j);
    return checkpoint_read_mark(AT_FDCWD, path, ret) < 0 ? not_there(j, reterr) : 0;
}
