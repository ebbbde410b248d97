/* What is known of registry hosts beforehand: which may be reached without (valid) TLS, where their
 * certificates lie, and the mirrors of docker.io.  Values after hosts_new() never change; any
 * thread. */
#pragma once

#include <stdbool.h>

#include "err.h"
#include "web.h"

#define HOSTS_CERTS_DIR "/etc/containerd-lite/certs.d"
#define HOSTS_DEFAULT "docker.io"
/* The registry behind the name docker.io, which itself serves no images. */
#define HOSTS_DEFAULT_REGISTRY "registry-1.docker.io"

struct hosts;

struct hosts_options {
    const char *const *mirrors;  /* URLs; NULL-terminated or NULL; copied, as all */
    const char *const *insecure; /* "host", "host:port" or CIDR; loopback always is */
    const char *certs_dir;       /* NULL: HOSTS_CERTS_DIR */
};

/* -EINVAL for a mirror that is no URL. */
int hosts_new(const struct hosts_options *opt, struct hosts **ret, struct err *reterr);
void hosts_free(struct hosts *h);
DEFINE_FREEP(struct hosts *, hosts_free)

/* "localhost", 127.0.0.0/8 or ::1, with or without port. */
bool host_is_loopback(const char *host);
bool hosts_is_insecure(const struct hosts *h, const char *host);
/* <certs_dir>/<host>/ca.crt, client.cert with client.key, where they exist. */
void hosts_tls(const struct hosts *h, const char *host, struct web_tls *ret);

/* One place where a repository's domain is served. */
struct host_endpoint {
    char *base; /* "https://registry-1.docker.io", without slash at the end */
    bool mirror;
};

#define HOSTS_ENDPOINTS_MAX 16

/* In the order of trying: mirrors (docker.io only), https, and http where insecure. */
size_t hosts_endpoints(const struct hosts *h, const char *domain,
                       struct host_endpoint ret[HOSTS_ENDPOINTS_MAX]);
void host_endpoint_done(struct host_endpoint *e);
