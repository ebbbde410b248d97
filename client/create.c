#include "create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "pull.h"
#include "run_body.h"
#include "str.h"
#include "url.h"

static int pull(struct invocation *inv, bool missing, struct err *reterr)
{
    const struct run_options *o = inv->options;
    struct refname ref = {0};
    int r = refname_parse(inv->args[0], &ref);

    if (r < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid reference format");
    if (missing)
        fprintf(stderr, "Unable to find image '%s' locally\n", ref.familiar);
    r = pull_image(inv->client, &ref, o->platform, stderr, o->quiet, reterr);
    refname_done(&ref);
    return r;
}

static int check_pull_option(const char *s, struct err *reterr)
{
    if (streq(s, "always") || streq(s, "missing") || streq(s, "never") || !*s)
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"",
                   s);
}

static int send_create(struct invocation *inv, json_t **ret, struct err *reterr)
{
    const struct run_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/containers/create");
    int r;

    url_add(&url, "name", str_empty(o->name) ? NULL : o->name);
    url_add(&url, "platform", str_empty(o->platform) ? NULL : o->platform);
    if (streq(o->pull, "always")) {
        r = pull(inv, false, reterr);
        if (r < 0)
            return r;
    }
    r = client_post(inv->client, url, inv->body, ret, reterr);
    if (r == 0 || reterr->kind != ERR_NOT_FOUND || !strcasestr(reterr->message, "no such image") ||
        !streq(o->pull, "missing"))
        return r;
    r = pull(inv, true, reterr);
    return r < 0 ? r : client_post(inv->client, url, inv->body, ret, reterr);
}

/* Made before the container, so that a second one under the same file is refused early. */
static int open_cidfile(const char *path, struct err *reterr)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0 && errno == EEXIST)
        return err_set(reterr, ERR_INVALID, EEXIST,
                       "container ID file found, make sure the other container isn't running or "
                       "delete %s",
                       path);
    if (fd < 0)
        return err_sys(reterr, errno, "failed to create the container ID file: open %s", path);
    return fd;
}

static void print_warnings(const json_t *reply)
{
    const json_t *list = json_get(reply, "Warnings");

    for (size_t i = 0; i < json_array_size(list); i++)
        fprintf(stderr, "WARNING: %s\n", json_string_value(json_array_get(list, i)));
}

int create_container(struct invocation *inv, char **ret_id, struct err *reterr)
{
    const struct run_options *o = inv->options;
    _cleanup_close_ int cidfile = -EBADF;
    _cleanup_json_ json_t *reply = NULL;
    const char *id;
    int r = check_pull_option(o->pull, reterr);

    if (r == 0 && !str_empty(o->cidfile)) {
        cidfile = open_cidfile(o->cidfile, reterr);
        if (cidfile < 0)
            return -EINVAL;
    }
    if (r == 0)
        r = send_create(inv, &reply, reterr);
    id = json_get_str(reply, "Id", NULL);
    if (r == 0 && !id)
        r = err_set(reterr, ERR_SYSTEM, EBADMSG, "the daemon's reply has no container ID");
    if (r == 0 && cidfile >= 0)
        r = fd_write_all(cidfile, id, strlen(id));
    if (r < 0) {
        if (cidfile >= 0)
            unlink(o->cidfile);
        return r;
    }
    print_warnings(reply);
    *ret_id = xstrdup(id);
    return 0;
}
