/* build: the context as a tar without what .dockerignore names, and what the daemon says to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "fd.h"
#include "ignore.h"
#include "json.h"
#include "path.h"
#include "progress.h"
#include "run_values.h"
#include "str.h"
#include "tree.h"
#include "url.h"

#define DOCKERFILE_MAX (1 << 20)
#define IGNORE_MAX (1 << 20)
#define STRAY_NAME ".dockerfile.stray" /* in the archive, of one that is not in the context */

const struct opt build_opts[] = {
    OPT_LIST("add-host", 0, "list", struct build_options, add_hosts, value_string,
             "Add a custom host-to-IP mapping (\"host:ip\")"),
    OPT_LIST("build-arg", 0, "list", struct build_options, args, value_string,
             "Set build-time variables"),
    OPT_LIST("cache-from", 0, "strings", struct build_options, cache_from, value_string,
             "Images to consider as cache sources"),
    OPT_STRING("cgroup-parent", 0, struct build_options, cgroup_parent,
               "Parent cgroup of the RUN instructions' containers"),
    OPT_BOOL("compress", 0, struct build_options, compress,
             "Accepted as docker has it: the context goes as it is"),
    OPT_STRING("cpu-period", 0, struct build_options, cpu_period,
               "Limit the CPU CFS (Completely Fair Scheduler) period"),
    OPT_STRING("cpu-quota", 0, struct build_options, cpu_quota,
               "Limit the CPU CFS (Completely Fair Scheduler) quota"),
    OPT_STRING("cpu-shares", 'c', struct build_options, cpu_shares, "CPU shares (relative weight)"),
    OPT_STRING("cpuset-cpus", 0, struct build_options, cpuset_cpus,
               "CPUs in which to allow execution (0-3, 0,1)"),
    OPT_STRING("cpuset-mems", 0, struct build_options, cpuset_mems,
               "MEMs in which to allow execution (0-3, 0,1)"),
    OPT_STRING("file", 'f', struct build_options, file,
               "Name of the Dockerfile (Default is \"PATH/Dockerfile\")"),
    OPT_BOOL("force-rm", 0, struct build_options, force_rm,
             "Always remove intermediate containers"),
    OPT_STRING("iidfile", 0, struct build_options, iidfile, "Write the image ID to the file"),
    OPT_LIST("label", 0, "list", struct build_options, labels, value_string,
             "Set metadata for an image"),
    OPT_STRING("memory", 'm', struct build_options, memory, "Memory limit"),
    OPT_STRING("memory-swap", 0, struct build_options, memory_swap,
               "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
    OPT_STRING("network", 0, struct build_options, network,
               "Set the networking mode for the RUN instructions during build"),
    OPT_BOOL("no-cache", 0, struct build_options, no_cache,
             "Do not use cache when building the image"),
    OPT_STRING("platform", 0, struct build_options, platform, "Platform of the base images"),
    OPT_BOOL("pull", 0, struct build_options, pull,
             "Always attempt to pull a newer version of the image"),
    OPT_BOOL("quiet", 'q', struct build_options, quiet,
             "Suppress the build output and print image ID on success"),
    OPT_BOOL("rm", 0, struct build_options, rm,
             "Remove intermediate containers after a successful build"),
    OPT_LIST("security-opt", 0, "strings", struct build_options, security, value_string,
             "Security options"),
    OPT_STRING("shm-size", 0, struct build_options, shm_size, "Size of \"/dev/shm\""),
    OPT_BOOL("squash", 0, struct build_options, squash, "Refused: layers are kept"),
    OPT_LIST("tag", 't', "list", struct build_options, tags, value_string,
             "Name and optionally a tag in the \"name:tag\" format"),
    OPT_STRING("target", 0, struct build_options, target, "Set the target build stage to build"),
    OPT_LIST("ulimit", 0, "ulimit", struct build_options, ulimits, value_string,
             "Ulimit options (default [])"),
    OPT_END,
};

/* ---- the context ---- */

/* A file without a name, to be filled and then sent. */
static int scratch_file(struct err *reterr)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(str_empty(dir) ? "/tmp" : dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    return fd < 0 ? err_sys(reterr, errno, "cannot make a temporary file") : fd;
}

static int put_file(int fd, const char *name, const char *text, size_t len, bool last,
                    struct err *reterr)
{
    struct tar_entry e = {.type = TAR_FILE,
                          .name = (char *)name,
                          .link = (char *)"",
                          .mode = 0644,
                          .size = (int64_t)len};
    _cleanup_buf_ struct buf out = {0};
    int r;

    tar_put_header(&out, &e);
    buf_append(&out, text, len);
    tar_pad(&out, (int64_t)len);
    if (last)
        tar_end(&out);
    r = fd_write_all(fd, buf_head(&out), buf_size(&out));
    return r < 0 ? err_sys(reterr, -r, "write archive") : 0;
}

static int read_ignore(const char *dir, struct ignore *ret, struct err *reterr)
{
    _cleanup_free_ char *path = path_join(dir, ".dockerignore"), *text = NULL;
    ssize_t n = file_read(AT_FDCWD, path, IGNORE_MAX, &text);

    if (n == -ENOENT)
        return 0;
    if (n < 0 || ignore_parse(text, ret) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "error checking context: '%s' cannot be read",
                       path);
    return 0;
}

/* The Dockerfile's name in the context; NULL: it is somewhere else. */
static char *name_inside(const char *dir, const char *file)
{
    _cleanup_free_ char *root = realpath(dir, NULL), *real = realpath(file, NULL);
    size_t n = root ? strlen(root) : 0;

    if (n == 0 || !real || strncmp(real, root, n) != 0 || real[n] != '/')
        return NULL;
    return xstrdup(real + n + 1);
}

static int read_dockerfile(const char *path, char **ret, struct err *reterr)
{
    ssize_t n = streq(path, "-") ? file_read(AT_FDCWD, "/dev/stdin", DOCKERFILE_MAX, ret)
                                 : file_read(AT_FDCWD, path, DOCKERFILE_MAX, ret);

    if (n >= 0)
        return (int)n;
    return err_set(reterr, ERR_INVALID, (int)-n,
                   "unable to prepare context: unable to evaluate symlinks in Dockerfile path: "
                   "lstat %s: %s",
                   path, err_text((int)-n));
}

/* A directory: *ret_name is what the daemon is to take for the Dockerfile. */
static int pack_directory(const char *dir, const char *file, int fd, char **ret_name,
                          struct err *reterr)
{
    _cleanup_free_ char *path = file ? xstrdup(file) : path_join(dir, "Dockerfile"), *text = NULL;
    _cleanup_free_ char *name = streq(path, "-") ? NULL : name_inside(dir, path);
    _cleanup_(ignore_done) struct ignore ig = {0};
    int n = read_dockerfile(path, &text, reterr), r = n;
    struct tree_filter filter = {.ignore = &ig, .keep = {".dockerignore", name}};

    if (r >= 0)
        r = read_ignore(dir, &ig, reterr);
    if (r >= 0 && !name)
        r = put_file(fd, STRAY_NAME, text, (size_t)n, false, reterr);
    if (r >= 0)
        r = tree_pack_context(dir, &filter, fd, reterr);
    if (r >= 0)
        *ret_name = name ? TAKE_PTR(name) : xstrdup(STRAY_NAME);
    return r;
}

/* Does it begin like an archive, compressed or not? */
static bool is_archive(const char *data, size_t len)
{
    static const struct {
        const char *magic;
        size_t len;
    } kinds[] = {{"\x1f\x8b", 2}, {"BZh", 3}, {"\xfd\x37zXZ", 5}, {"\x28\xb5\x2f\xfd", 4}};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (len >= kinds[i].len && memcmp(data, kinds[i].magic, kinds[i].len) == 0)
            return true;
    }
    return len > 262 && memcmp(data + 257, "ustar", 5) == 0;
}

/* Standard input: an archive, or a Dockerfile alone. */
static int pack_stdin(int fd, struct err *reterr)
{
    _cleanup_buf_ struct buf in = {0};
    ssize_t n = 1;

    while (n > 0 && buf_size(&in) <= DOCKERFILE_MAX) {
        n = read(STDIN_FILENO, buf_reserve(&in, 65536), 65536);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            in.len += (size_t)n;
    }
    if (n < 0)
        return err_sys(reterr, errno, "failed to read stdin");
    if (!is_archive(buf_head(&in), buf_size(&in)))
        return put_file(fd, "Dockerfile", buf_head(&in), buf_size(&in), true, reterr);
    while (buf_size(&in) > 0) {
        int r = fd_write_all(fd, buf_head(&in), buf_size(&in));

        if (r < 0)
            return err_sys(reterr, -r, "write archive");
        in.start = in.len = 0;
        n = read(STDIN_FILENO, buf_reserve(&in, 65536), 65536);
        in.len = n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int make_context(const char *what, const char *file, char **ret_name, struct err *reterr)
{
    _cleanup_close_ int fd = scratch_file(reterr);
    struct stat sb;
    int r = fd;

    if (r >= 0 && streq(what, "-"))
        r = pack_stdin(fd, reterr);
    else if (r >= 0 && (stat(what, &sb) < 0 || !S_ISDIR(sb.st_mode)))
        r = err_set(reterr, ERR_INVALID, ENOENT, "unable to prepare context: path \"%s\" not found",
                    what);
    else if (r >= 0)
        r = pack_directory(what, file, fd, ret_name, reterr);
    if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = err_sys(reterr, errno, "seek");
    return r < 0 ? r : TAKE_FD(fd);
}

/* ---- the request ---- */

/* "a=b" as a member; without "=" the environment's value, or none. */
static json_t *pairs(char *const *list, bool environment)
{
    json_t *out = list ? json_object() : NULL;

    for (size_t i = 0; list && list[i]; i++) {
        size_t n = strcspn(list[i], "=");
        _cleanup_free_ char *name = xstrndup(list[i], n);
        const char *value = list[i][n] ? list[i] + n + 1 : environment ? getenv(name) : "";

        json_object_set_new(out, name, value ? json_string(value) : json_null());
    }
    return out;
}

static void add_json(char **url, const char *key, json_t *v)
{
    _cleanup_free_ char *text = v ? json_to_str(v) : NULL;

    url_add(url, key, text);
    json_decref(v);
}

static int add_bytes(char **url, const char *key, const char *value,
                     int (*parse)(const char *value, json_t **ret, struct err *reterr),
                     struct err *reterr)
{
    _cleanup_json_ json_t *v = NULL;
    int r = value ? parse(value, &v, reterr) : 0;

    if (v)
        add_json(url, key, json_incref(v));
    return r;
}

static int add_ulimits(char **url, char *const *list, struct err *reterr)
{
    json_t *all = list ? json_array() : NULL;
    int r = 0;

    for (size_t i = 0; r >= 0 && list && list[i]; i++) {
        json_t *v;

        r = value_ulimit(list[i], &v, reterr);
        if (r >= 0)
            json_array_append_new(all, v);
    }
    add_json(url, "ulimits", all);
    return r;
}

static void add_texts(char **url, const struct build_options *o)
{
    const struct {
        const char *key, *value;
    } texts[] = {{"target", o->target},         {"networkmode", o->network},
                 {"platform", o->platform},     {"cgroupparent", o->cgroup_parent},
                 {"cpuperiod", o->cpu_period},  {"cpuquota", o->cpu_quota},
                 {"cpushares", o->cpu_shares},  {"cpusetcpus", o->cpuset_cpus},
                 {"cpusetmems", o->cpuset_mems}};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        url_add(url, texts[i].key, texts[i].value);
}

static void add_list(char **url, const char *key, char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        url_add(url, key, list[i]);
}

static bool is_remote(const char *what)
{
    return str_starts(what, "http://") || str_starts(what, "https://");
}

static int make_url(const struct build_options *o, const char *what, const char *dockerfile,
                    char **ret, struct err *reterr)
{
    _cleanup_free_ char *url = xstrdup("/build");
    int r;

    url_add(&url, "dockerfile", dockerfile);
    url_add(&url, "remote", is_remote(what) ? what : NULL);
    add_list(&url, "t", o->tags);
    add_list(&url, "extrahosts", o->add_hosts);
    add_list(&url, "securityopt", o->security);
    add_texts(&url, o);
    url_add_bool(&url, "squash", o->squash);
    url_add_bool(&url, "nocache", o->no_cache);
    url_add_bool(&url, "pull", o->pull);
    url_add_bool(&url, "q", o->quiet);
    url_add(&url, "rm", "1");
    add_json(&url, "buildargs", pairs(o->args, true));
    add_json(&url, "labels", pairs(o->labels, false));
    add_json(&url, "cachefrom", o->cache_from ? json_from_strv(o->cache_from) : NULL);
    r = add_bytes(&url, "memory", o->memory, value_bytes, reterr);
    if (r >= 0)
        r = add_bytes(&url, "memswap", o->memory_swap, value_bytes_swap, reterr);
    if (r >= 0)
        r = add_bytes(&url, "shmsize", o->shm_size, value_bytes, reterr);
    if (r >= 0)
        r = add_ulimits(&url, o->ulimits, reterr);
    if (r >= 0)
        *ret = TAKE_PTR(url);
    return r;
}

/* ---- the answer ---- */

struct answer {
    char *id;    /* owned; NULL before it is known */
    char *error; /* owned; NULL: none */
    int code;    /* of the RUN that failed, or 1 */
};

static void take(struct answer *a, const json_t *m)
{
    const json_t *detail = json_get(m, "errorDetail");
    const char *id = json_get_str(json_get(m, "aux"), "ID", NULL);
    const char *stream = json_get_str(m, "stream", NULL);
    const char *status = json_get_str(m, "status", NULL);

    if (id && !a->id)
        a->id = xstrdup(id);
    if (detail && !a->error) {
        a->error = xstrdup(json_get_str(detail, "message", "the build failed"));
        a->code = (int)json_get_int(detail, "code", 1);
    }
    if (stream)
        fwrite(stream, 1, json_string_length(json_get(m, "stream")), stdout);
    else if (status && !json_get(json_get(m, "progressDetail"), "total"))
        printf("%s%s%s\n", json_get_str(m, "id", ""), json_get(m, "id") ? ": " : "", status);
    fflush(stdout);
}

static int read_answer(struct conn *conn, struct answer *a, struct err *reterr)
{
    _cleanup_buf_ struct buf data = {0};
    bool bad = false;
    json_t *m;
    int r;

    do {
        r = conn_read_body(conn, &data, reterr);
        while ((m = json_take_object(&data, &bad))) {
            take(a, m);
            json_decref(m);
        }
        if (bad)
            r = err_set(reterr, ERR_SYSTEM, EBADMSG, "the daemon's answer is no JSON");
    } while (r > 0);
    if (r >= 0 && !a->id && !a->error)
        r = err_set(reterr, ERR_SYSTEM, EPIPE, "the daemon went away");
    return r;
}

static int finish(struct invocation *inv, const struct build_options *o, const struct answer *a)
{
    struct err e;
    int r;

    if (a->error) {
        fprintf(stderr, "%s\n", a->error);
        return a->code > 0 && a->code < 256 ? a->code : 1;
    }
    if (!o->iidfile)
        return 0;
    r = file_replace(AT_FDCWD, o->iidfile, a->id, strlen(a->id), 0644, false);
    if (r < 0) {
        err_sys(&e, -r, "write %s", o->iidfile);
        return cli_fail(inv, &e);
    }
    return 0;
}

int cmd_build(struct invocation *inv)
{
    const struct build_options *o = inv->options;
    _cleanup_free_ char *url = NULL, *dockerfile = NULL;
    _cleanup_conn_ struct conn conn = CONN_INIT;
    struct request req = {.method = "POST", .header = "Content-Type: application/x-tar"};
    struct answer a = {0};
    struct err e = {0};
    bool remote = is_remote(inv->args[0]);
    _cleanup_close_ int fd = -EBADF;
    int r = 0;

    if (!remote)
        r = fd = make_context(inv->args[0], o->file, &dockerfile, &e);

    if (r >= 0)
        r = make_url(o, inv->args[0], dockerfile ? dockerfile : o->file, &url, &e);
    if (r >= 0) {
        req.path = url;
        req.body_fd = remote ? 0 : fd;
        r = client_open(inv->client, &req, &conn, &e);
    }
    if (r >= 0)
        r = read_answer(&conn, &a, &e);
    r = r < 0 ? cli_fail(inv, &e) : finish(inv, o, &a);
    free(a.id);
    free(a.error);
    return r;
}
