/* Images in and out: load, import, save, export, pull, push. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "credentials.h"
#include "progress.h"
#include "pull.h"
#include "str.h"
#include "url.h"

const struct opt load_opts[] = {
    OPT_STRING("input", 'i', struct load_options, input,
               "Read from tar archive file, instead of STDIN"),
    OPT_STRING("platform", 0, struct load_options, platform,
               "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., "
               "\"linux/amd64\")"),
    OPT_BOOL("quiet", 'q', struct load_options, quiet, "Suppress the load output"),
    OPT_END,
};

const struct opt import_opts[] = {
    OPT_LIST("change", 'c', "list", struct import_options, changes, value_string,
             "Apply Dockerfile instruction to the created image"),
    OPT_STRING("message", 'm', struct import_options, message,
               "Set commit message for imported image"),
    OPT_STRING("platform", 0, struct import_options, platform,
               "Set platform if server is multi-platform capable"),
    OPT_END,
};

const struct opt pull_opts[] = {
    OPT_BOOL("all-tags", 'a', struct pull_options, all_tags,
             "Download all tagged images in the repository"),
    OPT_BOOL("disable-content-trust", 0, struct pull_options, no_content_trust,
             "Skip image verification (default true)"),
    OPT_STRING("platform", 0, struct pull_options, platform,
               "Set platform if server is multi-platform capable"),
    OPT_BOOL("quiet", 'q', struct pull_options, quiet, "Suppress verbose output"),
    OPT_END,
};

const struct opt save_opts[] = {
    OPT_STRING("output", 'o', struct save_options, output, "Write to a file, instead of STDOUT"),
    OPT_STRING("platform", 0, struct save_options, platform,
               "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., "
               "\"linux/amd64\")"),
    OPT_END,
};

const struct opt export_opts[] = {
    OPT_STRING("output", 'o', struct save_options, output, "Write to a file, instead of STDOUT"),
    OPT_END,
};

static int open_input(const char *path, struct err *reterr)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set(reterr, ERR_INVALID, errno, "open %s: %s", path, err_text(errno));
    return fd;
}

/* A copy of stdin under a number that a request can carry: 0 there means "no body". */
static int dup_stdin(struct err *reterr)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

    return fd < 0 ? err_sys(reterr, errno, "stdin") : fd;
}

int upload_image(struct client *c, const char *url, int fd, struct err *reterr)
{
    _cleanup_conn_ struct conn conn = CONN_INIT;
    struct request req = {.method = "POST", .path = url, .body_fd = fd};
    struct stat st;
    int r;

    /* A pipe cannot be sent twice: learn with a small request what version to speak. */
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        struct err ignored;

        client_get(c, "/version", NULL, &ignored);
    }
    r = client_open(c, &req, &conn, reterr);
    if (r == 0 && streq(conn.head.content_type, "application/json"))
        r = progress_show(&conn, stdout, false, reterr);
    conn_release(c, &conn);
    return r;
}

int cmd_load(struct invocation *inv)
{
    const struct load_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/images/load");
    _cleanup_close_ int fd = -EBADF;
    struct err e = {0};
    bool quiet = o->quiet || !isatty(STDOUT_FILENO);

    if (str_empty(o->input) && isatty(STDIN_FILENO)) {
        fprintf(stderr, "requested load from stdin, but stdin is empty\n");
        return 1;
    }
    fd = str_empty(o->input) ? dup_stdin(&e) : open_input(o->input, &e);
    url_add(&url, "quiet", quiet ? "1" : "0");
    url_add(&url, "platform", o->platform);
    if (fd < 0 || upload_image(inv->client, url, fd, &e) < 0)
        return cli_fail(inv, &e);
    return 0;
}

static bool is_url(const char *s)
{
    return str_starts(s, "http://") || str_starts(s, "https://");
}

int cmd_import(struct invocation *inv)
{
    const struct import_options *o = inv->options;
    const char *source = inv->args[0];
    _cleanup_free_ char *url = xstrdup("/images/create"), *encoded = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct err e = {0};

    for (size_t i = 0; o->changes && o->changes[i]; i++)
        url_add(&url, "changes", o->changes[i]);
    url_add(&url, "fromSrc", is_url(source) ? source : "-");
    url_add(&url, "message", o->message);
    url_add(&url, "platform", o->platform);
    url_add(&url, "repo", inv->n_args > 1 ? inv->args[1] : NULL);
    if (!is_url(source)) {
        fd = streq(source, "-") ? dup_stdin(&e) : open_input(source, &e);
        if (fd < 0)
            return cli_fail(inv, &e);
    }
    return upload_image(inv->client, url, fd, &e) < 0 ? cli_fail(inv, &e) : 0;
}

int cmd_pull(struct invocation *inv)
{
    const struct pull_options *o = inv->options;
    struct refname ref = {0};
    struct err e = {0};
    const char *slash = strrchr(inv->args[0], '/');
    bool bare = !strpbrk(slash ? slash : inv->args[0], "@:"); /* a port is no tag */
    int r = refname_parse(inv->args[0], &ref);

    if (r < 0) {
        fprintf(stderr, "invalid reference format\n");
        return 1;
    }
    if (o->all_tags) {
        free(ref.tag);
        ref.tag = NULL;
    } else if (bare && !o->quiet) {
        printf("Using default tag: latest\n");
        fflush(stdout);
    }
    r = pull_image(inv->client, &ref, o->platform, stdout, o->quiet, &e);
    if (r == 0) {
        bool digest = ref.tag && strchr(ref.tag, ':');

        printf("%s%s%s\n", ref.repository, ref.tag ? (digest ? "@" : ":") : "",
               ref.tag ? ref.tag : "");
    }
    refname_done(&ref);
    return r < 0 ? cli_fail(inv, &e) : 0;
}

int cmd_push(struct invocation *inv)
{
    const struct pull_options *o = inv->options;
    _cleanup_free_ char *url = NULL;
    _cleanup_conn_ struct conn conn = CONN_INIT;
    _cleanup_free_ char *header = NULL;
    struct request req = {.method = "POST"};
    struct refname ref = {0};
    struct err e = {0};
    int r = refname_parse(inv->args[0], &ref);

    if (r < 0) {
        fprintf(stderr, "invalid reference format\n");
        return 1;
    }
    req.header = header = credentials_header(ref.repository);
    url = url_format("/images/%s/push", ref.repository);
    url_add(&url, "tag", o->all_tags ? NULL : ref.tag);
    url_add(&url, "platform", o->platform);
    req.path = url;
    r = client_open(inv->client, &req, &conn, &e);
    if (r == 0)
        r = progress_show(&conn, stdout, o->quiet, &e);
    if (r == 0 && o->quiet)
        printf("%s:%s\n", ref.repository, ref.tag);
    refname_done(&ref);
    return r < 0 ? cli_fail(inv, &e) : 0;
}

/* The body of a reply into a file or stdout. */
static int download(struct client *c, const char *url, const char *output, struct err *reterr)
{
    _cleanup_conn_ struct conn conn = CONN_INIT;
    _cleanup_close_ int file = -EBADF;
    _cleanup_buf_ struct buf data = {0};
    struct request req = {.method = "GET", .path = url};
    int r = client_open(c, &req, &conn, reterr);

    if (r == 0 && !str_empty(output)) {
        file = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (file < 0)
            return err_sys(reterr, errno, "open %s", output);
    }
    while (r == 0 && (r = conn_read_body(&conn, &data, reterr)) > 0) {
        r = fd_write_all(file >= 0 ? file : STDOUT_FILENO, buf_head(&data), buf_size(&data));
        if (r < 0)
            err_sys(reterr, -r, "write");
        buf_consume(&data, buf_size(&data));
    }
    return r;
}

int cmd_save(struct invocation *inv)
{
    const struct save_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/images/get");
    struct err e = {0};

    if (str_empty(o->output) && isatty(STDOUT_FILENO)) {
        fprintf(stderr, "cowardly refusing to save to a terminal. Use the -o flag or redirect\n");
        return 1;
    }
    for (int i = 0; i < inv->n_args; i++)
        url_add(&url, "names", inv->args[i]);
    url_add_platform(&url, "platform", o->platform);
    return download(inv->client, url, o->output, &e) < 0 ? cli_fail(inv, &e) : 0;
}

int cmd_export(struct invocation *inv)
{
    const struct save_options *o = inv->options;
    _cleanup_free_ char *url = url_format("/containers/%s/export", inv->args[0]);
    struct err e = {0};

    if (str_empty(o->output) && isatty(STDOUT_FILENO)) {
        fprintf(stderr, "cowardly refusing to save to a terminal. Use the -o flag or redirect\n");
        return 1;
    }
    return download(inv->client, url, o->output, &e) < 0 ? cli_fail(inv, &e) : 0;
}
