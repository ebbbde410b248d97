#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "bytesize.h"
#include "engine.h"
#include "fd.h"
#include "hosts.h"
#include "inet4.h"
#include "json.h"
#include "log.h"
#include "logsend.h"
#include "str.h"
#include "url_file.h"

#define CONFIG_FILE_MAX (1 << 20)

enum option_type { OPT_STRING, OPT_LIST, OPT_MAP, OPT_BOOL, OPT_INT };

/* One row an option: the command line's name, the key in the file (NULL: not allowed there). */
static const struct option_row {
    const char *name;
    char letter;
    const char *key;
    enum option_type type;
    size_t offset;
    const char *help;
} rows[] = {
    {"host", 'H', "hosts", OPT_LIST, offsetof(struct options, hosts),
     "Daemon socket to listen on, unix:///path or fd://"},
    {"data-root", 0, "data-root", OPT_STRING, offsetof(struct options, data_root),
     "Root directory of persistent state (default \"" ENGINE_DATA_ROOT "\")"},
    {"exec-root", 0, "exec-root", OPT_STRING, offsetof(struct options, exec_root),
     "Root directory of execution state (default \"" ENGINE_EXEC_ROOT "\")"},
    {"config-file", 0, NULL, OPT_STRING, offsetof(struct options, config_file),
     "Configuration file (default \"" OPTIONS_CONFIG_FILE "\")"},
    {"pidfile", 'p', "pidfile", OPT_STRING, offsetof(struct options, pidfile),
     "Path of the file for the daemon's process id"},
    {"log-level", 'l', "log-level", OPT_STRING, offsetof(struct options, log_level),
     "debug, info, warn, error or fatal (default \"info\")"},
    {"debug", 'D', "debug", OPT_BOOL, offsetof(struct options, debug), "Log at level debug"},
    {"bridge", 'b', "bridge", OPT_STRING, offsetof(struct options, bridge),
     "Attach containers to this existing bridge; \"none\" for no bridge network"},
    {"bip", 0, "bip", OPT_STRING, offsetof(struct options, bip),
     "Address of our own bridge, like 172.17.0.1/16"},
    {"default-address-pool", 0, "default-address-pools", OPT_LIST,
     offsetof(struct options, address_pools),
     "base=NETWORK/PREFIX,size=PREFIX: subnets for networks that name none"},
    {"ip", 0, "ip", OPT_STRING, offsetof(struct options, ip),
     "Address that published ports are bound to if none is named (default \"0.0.0.0\")"},
    {"publish-obeys-input", 0, "publish-obeys-input", OPT_BOOL,
     offsetof(struct options, publish_obeys_input),
     "Let the INPUT chain of the host decide who reaches published ports"},
    {"mtu", 0, "mtu", OPT_INT, offsetof(struct options, mtu), "MTU of containers' links"},
    {"dns", 0, "dns", OPT_LIST, offsetof(struct options, dns),
     "Name server of containers that name none"},
    {"dns-opt", 0, "dns-opts", OPT_LIST, offsetof(struct options, dns_options),
     "Option in the resolv.conf of those"},
    {"dns-search", 0, "dns-search", OPT_LIST, offsetof(struct options, dns_search),
     "Search domain of those"},
    {"cgroup-parent", 0, "cgroup-parent", OPT_STRING, offsetof(struct options, cgroup_parent),
     "Parent cgroup of all containers"},
    {"exec-opt", 0, "exec-opts", OPT_LIST, offsetof(struct options, exec_opts),
     "native.cgroupdriver=cgroupfs or systemd"},
    {"storage-driver", 's', "storage-driver", OPT_STRING, offsetof(struct options, storage_driver),
     "Storage driver: overlay2, btrfs, vfs (default: what works)"},
    {"registry-mirror", 0, "registry-mirrors", OPT_LIST, offsetof(struct options, registry_mirrors),
     "Preferred mirror of the default registry"},
    {"insecure-registry", 0, "insecure-registries", OPT_LIST,
     offsetof(struct options, insecure_registries), "Registry to be reached without TLS"},
    {"registry-certs", 0, "registry-certs", OPT_STRING, offsetof(struct options, registry_certs),
     "Directory of registries' certificates (default \"" HOSTS_CERTS_DIR "\")"},
    {"label", 0, "labels", OPT_LIST, offsetof(struct options, labels), "key=value of this daemon"},
    {"init", 0, "init", OPT_BOOL, offsetof(struct options, init),
     "Run an init in every container that does not say otherwise"},
    {"proc-view", 0, "proc-view", OPT_BOOL, offsetof(struct options, proc_view),
     "Containers that do not say otherwise see their own limits in /proc (needs lxcfs)"},
    {"log-driver", 0, "log-driver", OPT_STRING, offsetof(struct options, log_driver),
     "Logging driver of containers that do not name one (default \"json-file\")"},
    {"log-opt", 0, "log-opts", OPT_MAP, offsetof(struct options, log_opts),
     "key=value for the logging driver of those (default max-size=64m, max-file=4)"},
    {"build-download-limit", 0, "build-download-limit", OPT_STRING,
     offsetof(struct options, build_download_limit),
     "Size of what a build may fetch from one URL (default \"16g\")"},
    {"no-favordynmods", 0, "no-favordynmods", OPT_BOOL, offsetof(struct options, no_favordynmods),
     "Leave the cgroup2 mount options of the host alone (slower starts)"},
    {"experimental", 0, "experimental", OPT_BOOL, offsetof(struct options, experimental),
     "Say so to the docker command, which asks for it before docker checkpoint"},
    {"validate", 0, NULL, OPT_BOOL, offsetof(struct options, validate),
     "Check the configuration and exit"},
    {"version", 'v', NULL, OPT_BOOL, offsetof(struct options, version), "Print the version"},
    {"help", 'h', NULL, OPT_BOOL, offsetof(struct options, help), "Print this help"},
};

void options_usage(void)
{
    puts("Usage: containerd-lite [OPTIONS]\n\nA container engine with the Docker Engine API\n\n"
         "Options:");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        static const char *const types[] = {[OPT_STRING] = " string",
                                            [OPT_LIST] = " list",
                                            [OPT_MAP] = " map",
                                            [OPT_BOOL] = "",
                                            [OPT_INT] = " int"};
        char name[64];

        snprintf(name, sizeof(name), "--%s%s", rows[i].name, types[rows[i].type]);
        if (rows[i].letter)
            printf("  -%c, %-28s %s\n", rows[i].letter, name, rows[i].help);
        else
            printf("      %-28s %s\n", name, rows[i].help);
    }
}

void options_done(struct options *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        void *field = (char *)o + rows[i].offset;

        if (rows[i].type == OPT_STRING)
            free(*(char **)field);
        else if (rows[i].type == OPT_LIST || rows[i].type == OPT_MAP)
            strv_free(*(char ***)field);
    }
}

static int set_bool(bool *field, const char *text)
{
    if (!text || streq(text, "true") || streq(text, "1"))
        *field = true;
    else if (streq(text, "false") || streq(text, "0"))
        *field = false;
    else
        return -EINVAL;
    return 0;
}

static int set(struct options *o, const struct option_row *row, const char *text)
{
    void *field = (char *)o + row->offset;
    int64_t number;

    switch (row->type) {
    case OPT_STRING:
        free(*(char **)field);
        *(char **)field = xstrdup(text);
        return 0;
    case OPT_MAP:
        if (!strchr(text, '=') || text[0] == '=')
            return -EINVAL;
        /* fall through */
    case OPT_LIST:
        *(char ***)field = strv_append(*(char ***)field, text);
        return 0;
    case OPT_BOOL:
        return set_bool(field, text);
    case OPT_INT:
        if (str_parse_i64(text, 0, INT32_MAX, &number) < 0)
            return -EINVAL;
        *(int *)field = (int)number;
        return 0;
    }
    return -EINVAL;
}

/* ---- command line ---- */

static const struct option_row *find_long(const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strlen(rows[i].name) == n && strncmp(rows[i].name, name, n) == 0)
            return &rows[i];
    }
    return NULL;
}

static const struct option_row *find_letter(char c)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].letter == c)
            return &rows[i];
    }
    return NULL;
}

static int parse_word(char **argv, int *i, struct options *o, struct err *reterr)
{
    const char *word = argv[*i], *value = NULL, *eq = strchr(word, '=');
    const struct option_row *row = NULL;

    if (str_starts(word, "--")) {
        row = find_long(word + 2, eq ? (size_t)(eq - word - 2) : strlen(word + 2));
        value = eq ? eq + 1 : NULL;
    } else if (word[0] == '-' && word[1]) {
        row = find_letter(word[1]);
        value = word[2] == '=' ? word + 3 : word[2] ? word + 2 : NULL;
    } else {
        return err_set(reterr, ERR_INVALID, EINVAL, "unexpected argument: %s", word);
    }
    if (!row)
        return err_set(reterr, ERR_INVALID, EINVAL, "unknown flag: %s", word);
    if (!value && row->type != OPT_BOOL) {
        value = argv[*i + 1];
        if (!value)
            return err_set(reterr, ERR_INVALID, EINVAL, "flag needs an argument: %s", word);
        (*i)++;
    }
    if (set(o, row, value) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid argument \"%s\" for --%s", value,
                       row->name);
    return 0;
}

/* ---- configuration file ---- */

/* A string, or an object as the command line would have it: {"base": "10.0.0.0/8", "size": 24} is
 * base=10.0.0.0/8,size=24.  NULL: neither. */
static char *word_of(const json_t *item)
{
    char *text = NULL;
    const char *key;
    json_t *v;

    if (json_is_string(item))
        return xstrdup(json_string_value(item));
    json_object_foreach ((json_t *)item, key, v) {
        _cleanup_free_ char *before = text, *value = json_to_str(v);

        text = xasprintf("%s%s%s=%s", before ? before : "", before ? "," : "", key,
                         json_is_string(v) ? json_string_value(v) : value);
    }
    return text;
}

static int set_from_json(struct options *o, const struct option_row *row, const json_t *v,
                         struct err *reterr)
{
    json_t *item;
    size_t i;

    if (row->type == OPT_LIST && json_is_array(v)) {
        json_array_foreach (v, i, item) {
            _cleanup_free_ char *text = word_of(item);

            if (!text || (json_is_object(item) && !streq(row->name, "default-address-pool")))
                goto wrong;
            set(o, row, text);
        }
        return 0;
    }
    if (row->type == OPT_MAP && json_is_object(v)) {
        const char *key;

        json_object_foreach ((json_t *)v, key, item) {
            _cleanup_free_ char *pair = NULL;

            if (!json_is_string(item))
                goto wrong;
            pair = xasprintf("%s=%s", key, json_string_value(item));
            if (set(o, row, pair) < 0)
                goto wrong;
        }
        return 0;
    }
    if (row->type == OPT_STRING && json_is_string(v))
        return set(o, row, json_string_value(v));
    if (row->type == OPT_BOOL && json_is_boolean(v))
        return set(o, row, json_is_true(v) ? "true" : "false");
    if (row->type == OPT_INT && json_is_integer(v)) {
        char text[32];

        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
        if (set(o, row, text) >= 0)
            return 0;
    }
wrong:
    return err_set(reterr, ERR_INVALID, EINVAL, "%s: wrong type of value", row->key);
}

/* Is the option given on the command line already?  Then dockerd's rule holds: not both. */
static bool is_set(const struct options *o, const struct option_row *row)
{
    const void *field = (const char *)o + row->offset;

    switch (row->type) {
    case OPT_STRING:
    case OPT_LIST:
    case OPT_MAP:
        return *(void *const *)field != NULL;
    case OPT_BOOL:
        return *(const bool *)field;
    case OPT_INT:
        return *(const int *)field != 0;
    }
    return false;
}

static int apply_file(struct options *o, const json_t *doc, struct err *reterr)
{
    const char *key;
    json_t *v;

    json_object_foreach ((json_t *)doc, key, v) {
        const struct option_row *row = NULL;
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            if (rows[i].key && streq(rows[i].key, key))
                row = &rows[i];
        }
        if (!row)
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "the following directives don't match any configuration option: %s",
                           key);
        if (is_set(o, row))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "the following directives are specified both as a flag and in the "
                           "configuration file: %s",
                           key);
        r = set_from_json(o, row, v, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_file(struct options *o, struct err *reterr)
{
    const char *path = o->config_file ? o->config_file : OPTIONS_CONFIG_FILE;
    _cleanup_json_ json_t *doc = NULL;
    _cleanup_free_ char *text = NULL;
    json_error_t error;
    ssize_t n = file_read(AT_FDCWD, path, CONFIG_FILE_MAX, &text);
    int r;

    if (n == -ENOENT && !o->config_file)
        return 0;
    if (n < 0)
        return err_sys(reterr, (int)-n, "cannot read %s", path);
    if (strspn(text, " \t\r\n") == (size_t)n)
        return 0;
    doc = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(doc))
        return err_set(reterr, ERR_INVALID, EINVAL, "%s, line %d: %s", path, error.line,
                       doc ? "not an object" : error.text);
    r = apply_file(o, doc, reterr);
    return r < 0 ? err_wrap(reterr, "%s", path) : 0;
}

/* ---- */

static void default_to(char **field, const char *value)
{
    if (!*field)
        *field = xstrdup(value);
}

static int take_exec_opt(struct options *o, const char *text, struct err *reterr)
{
    static const char key[] = "native.cgroupdriver=";
    const char *driver = text + strlen(key);

    if (!str_starts(text, key))
        return err_set(reterr, ERR_INVALID, EINVAL, "unsupported --exec-opt: %s", text);
    if (!streq(driver, "cgroupfs") && !streq(driver, "systemd"))
        return err_set(reterr, ERR_INVALID, EINVAL, "native.cgroupdriver option %s not supported",
                       driver);
    o->systemd_cgroup = streq(driver, "systemd");
    return 0;
}

static int take_download_limit(struct options *o, struct err *reterr)
{
    struct err e;

    o->build_download_max = URL_FILE_MAX;
    if (!o->build_download_limit)
        return 0;
    if (bytesize_parse(o->build_download_limit, &o->build_download_max, &e) >= 0 &&
        o->build_download_max > 0)
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid --build-download-limit: \"%s\"",
                   o->build_download_limit);
}

static int check(struct options *o, struct err *reterr)
{
    struct in_addr address;
    enum log_level level;
    int r;

    if (log_level_parse(o->log_level, &level) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "unable to parse logging level: %s",
                       o->log_level);
    if (o->data_root[0] != '/' || o->exec_root[0] != '/')
        return err_set(reterr, ERR_INVALID, EINVAL, "--data-root and --exec-root must be absolute");
    for (size_t i = 0; o->hosts[i]; i++) {
        if (!str_starts(o->hosts[i], "unix:///") && !streq(o->hosts[i], "fd://"))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "invalid bind address (%s): only unix:///path and fd:// are served",
                           o->hosts[i]);
    }
    for (size_t i = 0; o->exec_opts && o->exec_opts[i]; i++) {
        r = take_exec_opt(o, o->exec_opts[i], reterr);
        if (r < 0)
            return r;
    }
    if (o->log_driver && !log_driver_known(o->log_driver))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "logger: no log driver named '%s' is registered", o->log_driver);
    for (size_t i = 0; o->address_pools && o->address_pools[i]; i++) {
        struct inet4_pool pool;

        if (inet4_pool_parse(o->address_pools[i], &pool) < 0 || i == INET4_POOLS_MAX)
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid default address pool: %s",
                           o->address_pools[i]);
    }
    r = take_download_limit(o, reterr);
    if (r < 0)
        return r;
    if (!str_empty(o->ip) && inet_pton(AF_INET, o->ip, &address) != 1)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid --ip: %s is no IPv4 address", o->ip);
    if (!str_empty(o->bridge) && !str_empty(o->bip))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "--bip and --bridge exclude each other: the address of an existing bridge "
                       "is not changed");
    return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *reterr)
{
    struct options o = {0};
    int r = 0;

    for (int i = 1; r >= 0 && i < argc; i++)
        r = parse_word(argv, &i, &o, reterr);
    if (r >= 0 && !o.help && !o.version)
        r = read_file(&o, reterr);
    default_to(&o.data_root, ENGINE_DATA_ROOT);
    default_to(&o.exec_root, ENGINE_EXEC_ROOT);
    default_to(&o.log_level, o.debug ? "debug" : "info");
    if (!o.hosts)
        o.hosts = strv_append(NULL, "unix://" API_DEFAULT_SOCKET);
    if (r >= 0)
        r = check(&o, reterr);
    if (r < 0) {
        options_done(&o);
        return r;
    }
    *ret = o;
    return 0;
}
