/* /etc/resolv.conf of a container: resolv.conf(5). */
#include <fcntl.h>
#include <stdlib.h>

#include "fd.h"
#include "private.h"

#define HOST_FILE_MAX (1 << 20)

/* The container's own list, else the daemon's; caller frees, NULL: empty. */
char **container_dns_setting(const struct container *c, const char *key,
                             const char *const *fallback)
{
    char **list = json_get_strv(c->host_config, key);

    if (strv_len(list) > 0)
        return list;
    strv_free(list);
    for (list = NULL; fallback && *fallback; fallback++)
        list = strv_append(list, *fallback);
    return list;
}

struct settings {
    char **servers, **search, **options;
};

static void settings_done(struct settings *s)
{
    strv_free(s->servers);
    strv_free(s->search);
    strv_free(s->options);
}

static void settings_load(const struct container *c, struct settings *ret)
{
    const struct engine_config *config = &c->engine->config;

    ret->servers = container_dns_setting(c, "Dns", config->dns);
    ret->search = container_dns_setting(c, "DnsSearch", config->dns_search);
    ret->options = container_dns_setting(c, "DnsOptions", config->dns_options);
}

static void add_joined(struct buf *out, const char *word, char *const *list)
{
    /* "--dns-search=." is how to ask for none, not even the host's. */
    if (strv_len(list) == 0 || (strv_len(list) == 1 && streq(list[0], ".")))
        return;
    buf_append_str(out, word);
    for (; *list; list++)
        buf_printf(out, " %s", *list);
    buf_append_str(out, "\n");
}

static bool has_word(const char *line, const char *word)
{
    size_t n = strlen(word);

    return strncmp(line, word, n) == 0 && (line[n] == ' ' || line[n] == '\t');
}

static bool is_loopback_nameserver(const char *line)
{
    const char *address = line + strlen("nameserver");

    if (!has_word(line, "nameserver"))
        return false;
    address += strspn(address, " \t");
    return str_starts(address, "127.") || str_starts(address, "::1");
}

static char *read_host_file(void)
{
    char *text = NULL;

    return file_read(AT_FDCWD, "/etc/resolv.conf", HOST_FILE_MAX, &text) < 0 ? xstrdup("") : text;
}

static bool is_overridden(const char *line, const struct settings *s)
{
    return s->search && (has_word(line, "search") || has_word(line, "domain"));
}

/* The host's file without what a container cannot reach. */
static void add_host_lines(struct buf *out, bool own_netns, const struct settings *s)
{
    _cleanup_free_ char *text = read_host_file();
    char *line, *save = NULL;
    bool any = false;

    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if ((own_netns && is_loopback_nameserver(line)) || is_overridden(line, s))
            continue;
        any = any || has_word(line, "nameserver");
        buf_printf(out, "%s\n", line);
    }
    /* Docker's choice, too: a resolver of the host alone is no use inside. */
    if (!any && own_netns)
        buf_append_str(out, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
}

/* What the host's file says besides servers. */
static void add_host_rest(struct buf *out, const struct settings *s, bool *ret_ndots)
{
    _cleanup_free_ char *text = read_host_file();
    char *line, *save = NULL;

    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        bool options = has_word(line, "options");

        if ((options && s->options) || is_overridden(line, s))
            continue;
        if (!options && !has_word(line, "search") && !has_word(line, "domain"))
            continue;
        *ret_ndots = *ret_ndots || (options && strstr(line, "ndots:"));
        buf_printf(out, "%s\n", line);
    }
}

/* With a name server of ours, which asks the others. */
static void add_own(struct buf *out, const struct settings *s)
{
    bool ndots = false;

    buf_append_str(out, "nameserver " DNS_SERVER_ADDRESS "\n");
    add_host_rest(out, s, &ndots);
    for (char **o = s->options; o && *o; o++)
        ndots = ndots || str_starts(*o, "ndots:");
    /* Names of containers have no dots: let them be asked for as they are, before a search list
     * makes others of them. */
    if (!ndots)
        buf_append_str(out, "options ndots:0\n");
}

char *container_resolv_conf(const struct container *c, bool own_netns)
{
    _cleanup_(settings_done) struct settings s = {0};
    struct buf out = {0};

    settings_load(c, &s);
    if (resolver_wanted(c)) {
        add_own(&out, &s);
    } else if (s.servers) {
        for (char **server = s.servers; *server; server++)
            buf_printf(&out, "nameserver %s\n", *server);
    } else {
        add_host_lines(&out, own_netns, &s);
    }
    add_joined(&out, "search", s.search);
    add_joined(&out, "options", s.options);
    return buf_take_str(&out);
}
