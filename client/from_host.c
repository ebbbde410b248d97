/* ctlc image from-host: an image of this host's own programs, for where there is no network. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands.h"
#include "hosttree.h"
#include "json.h"
#include "str.h"
#include "url.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const struct opt from_host_opts[] = {
    OPT_LIST("change", 'c', "list", struct from_host_options, changes, value_string,
             "Apply Dockerfile instruction to the created image"),
    OPT_STRING("message", 'm', struct from_host_options, message,
               "Set commit message for the image"),
    OPT_END,
};

/* A file without a name: all of it is there before the daemon sees a byte. */
static int scratch_file(struct err *reterr)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(str_empty(dir) ? "/var/tmp" : dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    if (fd < 0)
        fd = memfd_create("ctlc-from-host", MFD_CLOEXEC);
    return fd < 0 ? err_sys(reterr, errno, "make a scratch file") : fd;
}

static int build(char *const *names, char **ret_first, struct err *reterr)
{
    _cleanup_host_tree_ struct host_tree tree;
    _cleanup_close_ int fd = scratch_file(reterr);
    int r = fd;

    host_tree_init(&tree);
    for (size_t i = 0; r >= 0 && names[i]; i++)
        r = host_tree_add(&tree, names[i], i == 0 ? ret_first : NULL, reterr);
    if (r < 0)
        return r;
    host_tree_add_base(&tree);
    r = host_tree_write(&tree, fd, reterr);
    if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = err_sys(reterr, errno, "seek");
    return r < 0 ? r : TAKE_FD(fd);
}

int cmd_from_host(struct invocation *inv)
{
    const struct from_host_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/images/create"), *first = NULL, *command = NULL,
                        *message = NULL;
    _cleanup_json_ json_t *words = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct err e = {0};

    fd = build(inv->args + 1, &first, &e);
    if (fd < 0)
        return cli_fail(inv, &e);
    words = json_pack("[s]", first);
    text = words ? json_to_str(words) : xstrdup("[]"); /* a name that is no UTF-8 */
    command = xasprintf("CMD %s", text);
    message = xasprintf("From the host: %s", first);
    url_add(&url, "fromSrc", "-");
    url_add(&url, "repo", inv->args[0]);
    url_add(&url, "message", o->message ? o->message : message);
    url_add(&url, "changes", "ENV " DEFAULT_PATH);
    url_add(&url, "changes", command);
    for (size_t i = 0; o->changes && o->changes[i]; i++)
        url_add(&url, "changes", o->changes[i]);
    return upload_image(inv->client, url, fd, &e) < 0 ? cli_fail(inv, &e) : 0;
}
