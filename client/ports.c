#include "ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "options.h"
#include "str.h"

struct range {
    int first, last;
};

static int parse_range(const char *s, struct range *ret)
{
    size_t n = strcspn(s, "-");
    _cleanup_free_ char *first = xstrndup(s, n);
    uint64_t a, b;

    if (str_parse_u64(first, 65535, &a) < 0)
        return -EINVAL;
    b = a;
    if (s[n] && str_parse_u64(s + n + 1, 65535, &b) < 0)
        return -EINVAL;
    if (b < a)
        return -ERANGE;
    *ret = (struct range){(int)a, (int)b};
    return 0;
}

static bool is_protocol(const char *s)
{
    return strcasecmp(s, "tcp") == 0 || strcasecmp(s, "udp") == 0 || strcasecmp(s, "sctp") == 0;
}

static void lower(char *s)
{
    for (; *s; s++)
        *s = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
}

static void add_exposed(json_t **body, const char *port)
{
    json_t *one = json_object();

    json_object_set_new(one, port, json_object());
    json_put_path(body, "ExposedPorts", OPT_MERGE, one);
}

static void add_binding(json_t **body, const char *port, const char *ip, const char *host)
{
    json_t *bindings = json_at(*body, "HostConfig.PortBindings"), *list;

    if (!bindings) {
        bindings = json_object();
        json_put_path(body, "HostConfig.PortBindings", OPT_SET, bindings);
    }
    list = json_object_get(bindings, port);
    if (!list) {
        list = json_array();
        json_object_set_new(bindings, port, list);
    }
    json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", ip, "HostPort", host));
}

/* The parts of "ip:host:container": from the right, as an IPv6 address has colons of its own. */
struct spec {
    char *ip, *host, *container, *protocol;
};

static void spec_done(struct spec *s)
{
    free(s->ip);
    free(s->host);
    free(s->container);
    free(s->protocol);
}

static char *cut_last(char *s, char separator)
{
    char *at = strrchr(s, separator), *part;

    if (!at)
        return NULL;
    part = xstrdup(at + 1);
    *at = '\0';
    return part;
}

static int split_spec(const char *text, struct spec *s, struct err *reterr)
{
    _cleanup_free_ char *rest = xstrdup(text);
    unsigned char addr[16];
    size_t n;

    s->protocol = cut_last(rest, '/');
    if (!s->protocol)
        s->protocol = xstrdup("tcp");
    s->container = cut_last(rest, ':');
    if (!s->container) {
        s->container = TAKE_PTR(rest);
        s->host = xstrdup("");
        s->ip = xstrdup("");
    } else {
        s->host = cut_last(rest, ':');
        s->ip = s->host ? TAKE_PTR(rest) : xstrdup("");
        if (!s->host)
            s->host = TAKE_PTR(rest);
    }
    n = strlen(s->ip);
    if (n > 2 && s->ip[0] == '[' && s->ip[n - 1] == ']') {
        memmove(s->ip, s->ip + 1, n - 2);
        s->ip[n - 2] = '\0';
    }
    if (*s->ip && inet_pton(AF_INET, s->ip, addr) != 1 && inet_pton(AF_INET6, s->ip, addr) != 1)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid IP address: %s", s->ip);
    if (!*s->container)
        return err_set(reterr, ERR_INVALID, EINVAL, "no port specified: %s<empty>", text);
    return 0;
}

static int publish(json_t **body, const struct spec *s, struct err *reterr)
{
    struct range in, out = {0, 0};
    _cleanup_free_ char *protocol = xstrdup(s->protocol);

    if (parse_range(s->container, &in) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid containerPort: %s", s->container);
    if (*s->host && parse_range(s->host, &out) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid hostPort: %s", s->host);
    /* A range for one container port is where the daemon may choose from. */
    if (*s->host && out.last - out.first != in.last - in.first && in.first != in.last)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid ranges specified for container and host Ports: %s and %s",
                       s->container, s->host);
    if (!is_protocol(s->protocol))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid proto: %s", s->protocol);
    lower(protocol);
    for (int i = 0; i <= in.last - in.first; i++) {
        _cleanup_free_ char *port = xasprintf("%d/%s", in.first + i, protocol);
        _cleanup_free_ char *host = *s->host == '\0'      ? xstrdup("")
                                    : in.first == in.last ? xstrdup(s->host)
                                                          : xasprintf("%d", out.first + i);

        add_exposed(body, port);
        add_binding(body, port, s->ip, host);
    }
    return 0;
}

int ports_publish(json_t **body, const char *text, struct err *reterr)
{
    struct spec s = {0};
    int r = split_spec(text, &s, reterr);

    if (r == 0)
        r = publish(body, &s, reterr);
    spec_done(&s);
    return r;
}

int ports_expose(json_t **body, const char *text, struct err *reterr)
{
    _cleanup_free_ char *ports = xstrdup(text), *protocol = cut_last(ports, '/');
    struct range r;
    int bad;

    if (strchr(text, ':'))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid port format for --expose: %s", text);
    bad = parse_range(ports, &r);
    if (bad == -ERANGE)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid range format for --expose: %s, error: invalid range specified for "
                       "port: %s",
                       text, ports);
    if (bad < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid range format for --expose: %s, error: strconv.ParseUint: parsing "
                       "\"%s\": invalid syntax",
                       text, ports);
    if (protocol && !is_protocol(protocol))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid proto: %s", protocol);
    for (int i = r.first; i <= r.last; i++) {
        _cleanup_free_ char *port = xasprintf("%d/%s", i, protocol ? protocol : "tcp");

        lower(port);
        add_exposed(body, port);
    }
    return 0;
}
