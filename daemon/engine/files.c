/* /etc/hosts, /etc/hostname and /etc/resolv.conf of a container: files of ours in its directory,
 * bind-mounted by the shim, never part of the image or a commit. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fd.h"
#include "private.h"

#define HOST_FILE_MAX (1 << 20)

static void add_extra_hosts(const struct container *c, struct buf *out)
{
    const json_t *hosts = json_get(c->host_config, "ExtraHosts"), *h;
    size_t i;

    json_array_foreach (hosts, i, h) {
        const char *text = json_string_value(h), *ip = strchr(text, ':');
        char gateway[INET4_STR_MAX];

        if (!ip)
            ip = strchr(text, '=');
        if (!ip)
            continue;
        if (streq(ip + 1, "host-gateway") && c->engine->network) {
            inet4_format_address(network_address(c->engine->network).address, gateway);
            buf_printf(out, "%s\t%.*s\n", gateway, (int)(ip - text), text);
        } else {
            buf_printf(out, "%s\t%.*s\n", ip + 1, (int)(ip - text), text);
        }
    }
}

static void add_own(struct buf *out, const char *address, const char *hostname, const char *domain)
{
    if (*domain)
        buf_printf(out, "%s\t%s.%s %s\n", address, hostname, domain, hostname);
    else
        buf_printf(out, "%s\t%s\n", address, hostname);
}

static char *plan_hosts(const struct container *c)
{
    struct buf out = {0};
    const char *hostname = json_get_str(c->config, "Hostname", ""),
               *domain = json_get_str(c->config, "Domainname", "");

    buf_append_str(&out, "127.0.0.1\tlocalhost\n"
                         "::1\tlocalhost ip6-localhost ip6-loopback\n"
                         "fe00::\tip6-localnet\n"
                         "ff00::\tip6-mcastprefix\n"
                         "ff02::1\tip6-allnodes\n"
                         "ff02::2\tip6-allrouters\n");
    add_extra_hosts(c, &out);
    links_add_hosts(c, &out);
    for (size_t i = 0; i < c->n_endpoints; i++) {
        char address[INET4_STR_MAX], address6[INET6_STR_MAX];

        inet4_format_address(c->endpoints[i].address, address);
        add_own(&out, address, hostname, domain);
        if (c->endpoints[i].address6.prefix) {
            inet6_format_address(c->endpoints[i].address6.address, address6);
            add_own(&out, address6, hostname, domain);
        }
    }
    return buf_take_str(&out);
}

/* With the host's network its own hosts, and those asked for. */
static char *host_hosts(const struct container *c)
{
    _cleanup_free_ char *text = NULL;
    struct buf out = {0};

    if (file_read(AT_FDCWD, "/etc/hosts", HOST_FILE_MAX, &text) < 0)
        return plan_hosts(c);
    buf_append_str(&out, text);
    if (*text && !str_ends(text, "\n"))
        buf_append_str(&out, "\n");
    add_extra_hosts(c, &out);
    return buf_take_str(&out);
}

void container_files_plan(struct container *c, struct container_files *ret)
{
    enum net_mode mode = container_net_mode(c);

    *ret = (struct container_files){.dir = container_dir(c, NULL)};
    if (mode == NET_CONTAINER)
        return; /* the target's files are shared */
    ret->hostname = xasprintf("%s\n", json_get_str(c->config, "Hostname", ""));
    ret->hosts = mode == NET_HOST ? host_hosts(c) : plan_hosts(c);
    ret->resolv = container_resolv_conf(c, mode != NET_HOST);
}

void container_hosts_plan(struct container *c, bool resolv, struct container_files *ret)
{
    *ret = (struct container_files){.dir = container_dir(c, NULL), .hosts = plan_hosts(c)};
    if (resolv)
        ret->resolv = container_resolv_conf(c, true);
}

static int write_one(int dir, const char *name, const char *text, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (!text)
        return 0;
    /* Rewritten in place: a running container of the same network has the inode bind-mounted. */
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
    return r < 0 ? err_sys(reterr, -r, "cannot write %s", name) : 0;
}

int container_files_write(const struct container_files *f, struct err *reterr)
{
    _cleanup_close_ int dir = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (dir < 0)
        return err_sys(reterr, errno, "cannot open %s", f->dir);
    r = write_one(dir, "hosts", f->hosts, reterr);
    if (r >= 0)
        r = write_one(dir, "hostname", f->hostname, reterr);
    if (r >= 0)
        r = write_one(dir, "resolv.conf", f->resolv, reterr);
    return r < 0 ? err_wrap(reterr, "%s", f->dir) : 0;
}

void container_files_done(struct container_files *f)
{
    free(f->dir);
    free(f->hosts);
    free(f->hostname);
    free(f->resolv);
    *f = (struct container_files){0};
}
