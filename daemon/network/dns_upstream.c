#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "dns_impl.h"
#include "fd.h"

#define RESOLV_CONF_MAX (1 << 20)
#define CHECK_INTERVAL_MS 500

int dns_upstreams_add(struct dns_upstreams *upstreams, const char *address)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                          .ai_socktype = SOCK_DGRAM,
                                          .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;

    if (upstreams->n >= DNS_UPSTREAMS_MAX)
        return -ENOSPC;
    /* Numeric, so nothing is looked up; it knows the zones of link-local addresses. */
    if (getaddrinfo(address, "53", &hints, &found) != 0)
        return -EINVAL;
    memset(&upstreams->list[upstreams->n], 0, sizeof(upstreams->list[0]));
    memcpy(&upstreams->list[upstreams->n++], found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

void dns_upstreams_parse(struct dns_upstreams *upstreams, const char *text)
{
    static const char word[] = "nameserver";
    _cleanup_free_ char *copy = xstrdup(text);
    char *save = NULL;

    *upstreams = (struct dns_upstreams){0};
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        size_t n = strlen(word), blanks;

        if (strncmp(line, word, n) != 0)
            continue;
        blanks = strspn(line + n, " \t");
        line += n + blanks;
        line[strcspn(line, " \t\r")] = '\0';
        if (blanks > 0)
            dns_upstreams_add(upstreams, line);
    }
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

struct dns_upstreams *dns_host_upstreams(struct dns_host_conf *conf, uint64_t now_ms)
{
    _cleanup_free_ char *text = NULL;
    struct stat st = {0};

    if (conf->checked_ms != 0 && now_ms - conf->checked_ms < CHECK_INTERVAL_MS)
        return &conf->upstreams;
    conf->checked_ms = now_ms > 0 ? now_ms : 1;
    /* A file that is being replaced may be missing for a moment: what was known stays. */
    if (stat(conf->path, &st) < 0 || is_same(&st, &conf->seen))
        return &conf->upstreams;
    if (file_read(AT_FDCWD, conf->path, RESOLV_CONF_MAX, &text) < 0)
        return &conf->upstreams;
    conf->seen = st;
    dns_upstreams_parse(&conf->upstreams, text);
    return &conf->upstreams;
}
