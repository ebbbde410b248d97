/* Servers of file systems that a container mounts over the network: the kernel wants their
 * addresses, people give their names.  Looked up at each start, since names may lead elsewhere by
 * then. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

#define ADDR "addr="

struct lookup {
    uv_getaddrinfo_t request;
    struct engine *engine;
    json_t *points; /* borrowed */
    size_t at;      /* the point whose server is being looked up */
    char *name;     /* owned; of the server */
    engine_done_fn *done;
    void *arg;
};

/* Where among the options the server stands, NULL: nowhere.  Not in the middle of "mountaddr=". */
static const char *find_server(const char *options)
{
    for (const char *p = options; (p = strstr(p, ADDR)); p += strlen(ADDR)) {
        if (p == options || p[-1] == ',')
            return p + strlen(ADDR);
    }
    return NULL;
}

/* A copy of the server's name, NULL if the point has none, or it is an address. */
static char *name_in(const json_t *point)
{
    const json_t *fs = json_get(point, "Filesystem");
    const char *type = json_get_str(fs, "Type", ""),
               *at = find_server(json_get_str(fs, "Options", ""));
    struct in6_addr address;
    char *name;

    if (!at || !(str_starts(type, "nfs") || streq(type, "cifs")))
        return NULL;
    name = xstrndup(at, strcspn(at, ","));
    if (*name && inet_pton(AF_INET, name, &address) != 1 &&
        inet_pton(AF_INET6, name, &address) != 1)
        return name;
    free(name);
    return NULL;
}

static void replace(json_t *point, const char *name, const char *address)
{
    json_t *fs = json_get(point, "Filesystem");
    const char *options = json_get_str(fs, "Options", ""), *at = find_server(options);
    _cleanup_free_ char *changed =
        xasprintf("%.*s%s%s", (int)(at - options), options, address, at + strlen(name));

    json_object_set_new(fs, "Options", json_string(changed));
}

static void finish(struct lookup *l, const struct err *err)
{
    l->done(l->arg, err);
    free(l->name);
    free(l);
}

static void go_on(struct lookup *l);

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *l = request->data;
    json_t *point = json_array_get(l->points, l->at);
    char address[INET6_ADDRSTRLEN];
    struct err err;

    l->engine->jobs--;
    if (status >= 0)
        status = getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL, 0,
                             NI_NUMERICHOST)
                     ? UV_EAI_FAIL
                     : 0;
    uv_freeaddrinfo(found);
    if (status < 0) {
        err_set(&err, ERR_SYSTEM, EHOSTUNREACH,
                "error while mounting volume '%s': error resolving passed in network volume "
                "address: lookup %s: %s",
                json_get_str(point, "Source", ""), l->name, uv_strerror(status));
        finish(l, &err);
        return;
    }
    replace(point, l->name, address);
    go_on(l);
}

static void go_on(struct lookup *l)
{
    /* One answer for each address; mount(2) takes what speaks TCP or not. */
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct err err;
    int r;

    free(TAKE_PTR(l->name));
    while (l->at < json_array_size(l->points) &&
           !(l->name = name_in(json_array_get(l->points, l->at))))
        l->at++;
    if (!l->name) {
        finish(l, NULL);
        return;
    }
    l->engine->jobs++;
    r = uv_getaddrinfo(l->engine->loop, &l->request, on_found, l->name, NULL, &hints);
    if (r < 0) { /* no name at all: too long, or not to be encoded */
        l->engine->jobs--;
        err_set(&err, ERR_INVALID, -r, "invalid name of a server: %s", l->name);
        finish(l, &err);
    }
}

void servers_look_up(struct engine *e, json_t *points, engine_done_fn *done, void *arg)
{
    struct lookup *l = xcalloc(1, sizeof(*l));

    *l = (struct lookup){.engine = e, .points = points, .done = done, .arg = arg};
    l->request.data = l;
    go_on(l);
}
