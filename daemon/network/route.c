#include "route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "str.h"

static int bad(struct err *reterr, const char *text, const char *why)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid route \"%.128s\": %s", text, why);
}

void route_format(const struct route *route, char ret[ROUTE_STR_MAX])
{
    char to[INET6_STR_MAX], via[INET6_STR_MAX];

    if (route->to6.prefix) {
        inet6_format(&route->to6, to);
        inet6_format_address(route->via6, via);
    } else {
        inet4_format(&route->to, to);
        inet4_format_address(route->via, via);
    }
    snprintf(ret, ROUTE_STR_MAX, "%s=%s", to, via);
}

/* What no router forwards to, or is not for one network to say. */
static bool is_special(const struct route *route)
{
    uint32_t first = route->to.address >> 24;

    if (route->to6.prefix)
        return route->to6.address[0] == 0xff ||
               (route->to6.address[0] == 0xfe && (route->to6.address[1] & 0xc0) == 0x80);
    return first == 127 || first >= 224;
}

static int parse4(const char *to, const char *via, struct route *ret)
{
    if (inet4_parse(to, &ret->to) < 0 || inet4_parse_address(via, &ret->via) < 0)
        return -EINVAL;
    return ret->to.address == inet4_first(&ret->to) ? 0 : -EDOM;
}

static int parse6(const char *to, const char *via, struct route *ret)
{
    struct inet6 first;

    /* inet6_parse() takes no prefix of 0: it would stand for none at all. */
    if (str_ends(to, "/0"))
        return 0;
    if (inet6_parse(to, &ret->to6) < 0 || inet6_parse_address(via, ret->via6) < 0)
        return -EINVAL;
    inet6_first(&ret->to6, &first);
    return memcmp(first.address, ret->to6.address, INET6_LEN) == 0 ? 0 : -EDOM;
}

static int parse_one(char *text, struct route *ret, struct err *reterr)
{
    char *via = strchr(text, '=');
    int r = -EINVAL;

    *ret = (struct route){0};
    if (via) {
        *via = '\0';
        r = strchr(text, ':') ? parse6(text, via + 1, ret) : parse4(text, via + 1, ret);
        *via = '=';
    }
    if (r == -EDOM)
        return bad(reterr, text, "the destination has bits behind its prefix");
    if (r < 0)
        return bad(reterr, text, "it is no DESTINATION/PREFIX=GATEWAY of one family");
    if (ret->to.prefix == 0 && ret->to6.prefix == 0)
        return bad(reterr, text, "the default route is the network's gateway");
    return is_special(ret) ? bad(reterr, text, "the destination is not for hosts") : 0;
}

static bool is_same(const struct route *a, const struct route *b)
{
    return a->to.address == b->to.address && a->to.prefix == b->to.prefix &&
           a->to6.prefix == b->to6.prefix && memcmp(a->to6.address, b->to6.address, INET6_LEN) == 0;
}

static int add(struct routes *routes, char *text, struct err *reterr)
{
    struct route route;
    int r = parse_one(text, &route, reterr);

    if (r < 0)
        return r;
    if (routes->n == ROUTES_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "a network can have at most %d routes",
                       ROUTES_MAX);
    for (size_t i = 0; i < routes->n; i++) {
        if (is_same(&routes->list[i], &route))
            return bad(reterr, text, "there is one to this destination already");
    }
    routes->list[routes->n++] = route;
    return 0;
}

int routes_parse(const char *text, struct routes *ret, struct err *reterr)
{
    _cleanup_free_ char *copy = xstrdup(text);
    char *rest = copy, *one;
    int r = 0;

    ret->n = 0;
    while (*text && r >= 0 && (one = strsep(&rest, ",")))
        r = add(ret, one, reterr);
    return r;
}

static const char *check4(const struct route *route, const struct inet4 *subnet)
{
    if (subnet->prefix == 0)
        return "the network needs an IPv4 subnet that is named";
    if (!inet4_contains(subnet, route->via) || route->via == inet4_first(subnet) ||
        route->via == inet4_last(subnet))
        return "the gateway is no address of the network";
    if (route->to.prefix >= subnet->prefix && inet4_contains(subnet, route->to.address))
        return "the destination is in the network itself";
    return NULL;
}

static const char *check6(const struct route *route, const struct inet6 *subnet)
{
    struct inet6 first;

    if (subnet->prefix == 0)
        return "the network needs IPv6 and a subnet that is named";
    inet6_first(subnet, &first);
    if (!inet6_contains(subnet, route->via6) || memcmp(first.address, route->via6, INET6_LEN) == 0)
        return "the gateway is no address of the network";
    if (route->to6.prefix >= subnet->prefix && inet6_contains(subnet, route->to6.address))
        return "the destination is in the network itself";
    return NULL;
}

int routes_check(const struct routes *routes, const struct inet4 *subnet,
                 const struct inet6 *subnet6, struct err *reterr)
{
    for (size_t i = 0; i < routes->n; i++) {
        const struct route *route = &routes->list[i];
        const char *why = route->to6.prefix ? check6(route, subnet6) : check4(route, subnet);
        char text[ROUTE_STR_MAX];

        if (!why)
            continue;
        route_format(route, text);
        return bad(reterr, text, why);
    }
    return 0;
}
