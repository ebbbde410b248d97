#include "hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

#define MIRRORS_MAX (HOSTS_ENDPOINTS_MAX - 2)

struct hosts {
    char **mirrors, **insecure, *certs_dir; /* owned */
};

int hosts_new(const struct hosts_options *opt, struct hosts **ret, struct err *reterr)
{
    _cleanup_(hosts_freep) struct hosts *h = xcalloc(1, sizeof(*h));

    h->certs_dir = xstrdup(opt->certs_dir ? opt->certs_dir : HOSTS_CERTS_DIR);
    for (size_t i = 0; opt->insecure && opt->insecure[i]; i++)
        h->insecure = strv_append(h->insecure, opt->insecure[i]);
    for (size_t i = 0; opt->mirrors && opt->mirrors[i]; i++) {
        const char *m = opt->mirrors[i];

        if ((!str_starts(m, "http://") && !str_starts(m, "https://")) || strpbrk(m, "?#@") ||
            i >= MIRRORS_MAX)
            return err_set(reterr, ERR_INVALID, EINVAL,
                           i < MIRRORS_MAX ? "invalid registry mirror: \"%s\"; give a URL like "
                                             "https://mirror.example"
                                           : "too many registry mirrors: \"%s\"",
                           m);
        h->mirrors = strv_append(h->mirrors, m);
    }
    *ret = TAKE_PTR(h);
    return 0;
}

void hosts_free(struct hosts *h)
{
    strv_free(h->mirrors);
    strv_free(h->insecure);
    free(h->certs_dir);
    free(h);
}

/* ---- addresses ---- */

struct address {
    int family;
    unsigned char bytes[16];
};

static bool parse_address(const char *text, struct address *ret)
{
    ret->family = strchr(text, ':') ? AF_INET6 : AF_INET;
    return inet_pton(ret->family, text, ret->bytes) == 1;
}

/* The host of "host", "host:port", "[::1]:port". */
static char *without_port(const char *host)
{
    const char *end = strchr(host, ']');

    if (host[0] == '[' && end)
        return xstrndup(host + 1, (size_t)(end - host - 1));
    end = strrchr(host, ':');
    return end && strchr(host, ':') == end ? xstrndup(host, (size_t)(end - host)) : xstrdup(host);
}

static bool in_network(const struct address *a, const char *cidr)
{
    _cleanup_free_ char *text = xstrndup(cidr, strcspn(cidr, "/"));
    struct address net;
    int64_t bits;
    size_t whole;

    if (!strchr(cidr, '/') || !parse_address(text, &net) || net.family != a->family ||
        str_parse_i64(strchr(cidr, '/') + 1, 0, a->family == AF_INET ? 32 : 128, &bits) < 0)
        return false;
    whole = (size_t)bits / 8;
    if (memcmp(a->bytes, net.bytes, whole) != 0)
        return false;
    return bits % 8 == 0 || ((a->bytes[whole] ^ net.bytes[whole]) >> (8 - bits % 8)) == 0;
}

bool host_is_loopback(const char *host)
{
    _cleanup_free_ char *name = without_port(host);
    struct address a;

    if (streq(name, "localhost"))
        return true;
    return parse_address(name, &a) && (in_network(&a, "127.0.0.0/8") || in_network(&a, "::1/128"));
}

bool hosts_is_insecure(const struct hosts *h, const char *host)
{
    _cleanup_free_ char *name = without_port(host);
    struct address a;
    bool literal = parse_address(name, &a);

    if (host_is_loopback(host))
        return true;
    for (size_t i = 0; h->insecure && h->insecure[i]; i++) {
        if (streq(h->insecure[i], host) || (literal && in_network(&a, h->insecure[i])))
            return true;
    }
    return false;
}

/* ---- certificates ---- */

static char *existing(const struct hosts *h, const char *host, const char *name)
{
    char *path = xasprintf("%s/%s/%s", h->certs_dir, host, name);

    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

void hosts_tls(const struct hosts *h, const char *host, struct web_tls *ret)
{
    ret->insecure = hosts_is_insecure(h, host);
    if (!str_is_filename(host))
        return;
    ret->ca_file = existing(h, host, "ca.crt");
    ret->cert_file = existing(h, host, "client.cert");
    ret->key_file = ret->cert_file ? existing(h, host, "client.key") : NULL;
    /* Whoever gave an authority wants it asked. */
    if (ret->ca_file)
        ret->insecure = false;
}

/* ---- endpoints ---- */

void host_endpoint_done(struct host_endpoint *e)
{
    free(e->base);
    *e = (struct host_endpoint){0};
}

static char *without_slashes(const char *url)
{
    size_t n = strlen(url);

    while (n > 0 && url[n - 1] == '/')
        n--;
    return xstrndup(url, n);
}

size_t hosts_endpoints(const struct hosts *h, const char *domain,
                       struct host_endpoint ret[HOSTS_ENDPOINTS_MAX])
{
    bool hub = streq(domain, HOSTS_DEFAULT);
    const char *host = hub ? HOSTS_DEFAULT_REGISTRY : domain;
    struct web_tls tls = {0};
    size_t n = 0;

    for (size_t i = 0; hub && h->mirrors && h->mirrors[i]; i++)
        ret[n++] = (struct host_endpoint){without_slashes(h->mirrors[i]), true};
    ret[n++] = (struct host_endpoint){xasprintf("https://%s", host), false};
    hosts_tls(h, domain, &tls);
    if (tls.insecure)
        ret[n++] = (struct host_endpoint){xasprintf("http://%s", host), false};
    web_tls_done(&tls);
    return n;
}
