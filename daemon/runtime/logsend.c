#include "logsend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"
#include "json.h"
#include "logconf.h"
#include "str.h"

#define JOURNALD_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET "/dev/log"
#define TAG_DEFAULT "{{.ID}}"
#define FIELD_MAX 255 /* bytes of the image's name in journald's fields */
#define TAG_MAX 128 /* bytes; what is longer is cut off */
#define HOSTNAME_MAX 64

static const char *const common_options[] = {"labels", "labels-regex",    "env", "env-regex", "tag",
                                             "mode",   "max-buffer-size", NULL};
static const char *const file_options[] = {"max-size", "max-file", "compress", NULL};
static const char *const syslog_options[] = {"syslog-address", "syslog-facility", "syslog-format",
                                             NULL};
static const char *const no_options[] = {NULL};
/* dockerd's takes nothing else but how it is written to. */
static const char *const local_options[] = {"max-size", "max-file",        "compress",
                                            "mode",     "max-buffer-size", NULL};

static const struct {
    const char *name;
    const char *const *options; /* besides the common ones; NULL: anything */
} drivers[] = {{"json-file", file_options},
               {"journald", no_options},
               {LOG_DRIVER_LOCAL, local_options},
               {"none", NULL},
               {"syslog", syslog_options}};

static const struct {
    const char *name;
    enum plan_log_format format;
} formats[] = {{"", PLAN_LOG_RFC3164},
               {"rfc3164", PLAN_LOG_RFC3164},
               {"rfc5424", PLAN_LOG_RFC5424},
               {"rfc5424micro", PLAN_LOG_RFC5424}};

/* By their numbers, syslog(3). */
static const char *const facilities[] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
    "uucp",   "cron",   "authpriv", "ftp",    "",       "",       "",       "",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};

bool log_driver_known(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        if (streq(drivers[i].name, name))
            return true;
    }
    return false;
}

json_t *log_driver_names(void)
{
    json_t *out = json_array();

    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        json_array_append_new(out, json_string(drivers[i].name));
    return out;
}

static bool is_one_of(const char *const *list, const char *name)
{
    for (; *list; list++) {
        if (streq(*list, name))
            return true;
    }
    return false;
}

static int check_names(const char *type, const char *const *own, const json_t *options,
                       struct err *reterr)
{
    bool local = own == local_options;
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)options, name, value) {
        if (local && !is_one_of(own, name))
            return err_set(reterr, ERR_INVALID, EINVAL, "unknown log opt '%s' for log driver %s",
                           name, type);
        if (!is_one_of(common_options, name) && !is_one_of(own, name))
            return err_set(reterr, ERR_INVALID, EINVAL, "unknown log opt '%s' for %s log driver",
                           name, type);
        if (!json_is_string(value))
            return err_set(reterr, ERR_INVALID, EINVAL, "log opt '%s' is no string", name);
    }
    return 0;
}

/* ---- options ---- */

static int buffer_size(const json_t *options, uint64_t *ret, struct err *reterr)
{
    const char *text = json_get_str(options, "max-buffer-size", NULL);

    *ret = LOG_BUFFER_DEFAULT;
    if (text && (log_size_parse(text, ret) < 0 || *ret == 0 || *ret > LOG_BUFFER_MAX))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "error parsing option max-buffer-size: invalid size: '%s'", text);
    return 0;
}

static int check_mode(const json_t *options, struct err *reterr)
{
    const char *mode = json_get_str(options, "mode", "");
    uint64_t size;

    if (*mode && !streq(mode, "blocking") && !streq(mode, "non-blocking"))
        return err_set(reterr, ERR_INVALID, EINVAL, "logger: logging mode not supported: %s", mode);
    if (!streq(mode, "non-blocking") && json_get_str(options, "max-buffer-size", NULL))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    return buffer_size(options, &size, reterr);
}

static int facility_of(const json_t *options)
{
    const char *name = json_get_str(options, "syslog-facility", "daemon");
    int64_t n;

    for (size_t i = 0; i < ARRAY_SIZE(facilities); i++) {
        if (*facilities[i] && streq(facilities[i], name))
            return (int)i;
    }
    return str_parse_i64(name, 0, 23, &n) < 0 ? -EINVAL : (int)n;
}

static int format_of(const json_t *options)
{
    const char *name = json_get_str(options, "syslog-format", "");

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (streq(formats[i].name, name))
            return (int)formats[i].format;
    }
    return -EINVAL;
}

/* "udp://192.0.2.1:514", "tcp://[2001:db8::1]" and "unix[gram]:///dev/log" to what the plan says;
 * caller frees, NULL: not understood.  The shim has no resolver: addresses are numeric. */
static char *address_of(const json_t *options)
{
    const char *text = json_get_str(options, "syslog-address", "unixgram://" SYSLOG_SOCKET), *rest;
    _cleanup_free_ char *host = NULL;
    unsigned char binary[16];
    const char *port = "514", *colon;
    int64_t n;

    if (str_starts(text, "unix://") || str_starts(text, "unixgram://")) {
        rest = strstr(text, "://") + 3;
        return *rest == '/' && strlen(rest) < sizeof(((struct sockaddr_un *)0)->sun_path)
                   ? xstrdup(rest)
                   : NULL;
    }
    if (!str_starts(text, "udp://") && !str_starts(text, "tcp://"))
        return NULL;
    rest = text + strlen("udp://");
    if (*rest == '[') {
        size_t len = strcspn(++rest, "]");

        host = xstrndup(rest, len);
        colon = rest[len] == ']' ? rest + len + 1 : rest + len;
    } else {
        host = xstrndup(rest, strcspn(rest, ":"));
        colon = rest + strlen(host);
    }
    if (*colon == ':')
        port = colon + 1;
    else if (*colon)
        return NULL;
    if (streq(host, "localhost")) {
        free(host);
        host = xstrdup("127.0.0.1");
    }
    if (str_parse_i64(port, 1, 65535, &n) < 0 ||
        (inet_pton(AF_INET, host, binary) != 1 && inet_pton(AF_INET6, host, binary) != 1))
        return NULL;
    return xasprintf("%.3s:%s:%s", text, host, port);
}

static int check_syslog(const json_t *options, struct err *reterr)
{
    _cleanup_free_ char *address = address_of(options);

    if (!address)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "syslog-address should be in form proto://address, got %s (udp and tcp "
                       "with a numeric address and unixgram are supported)",
                       json_get_str(options, "syslog-address", ""));
    if (facility_of(options) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid syslog facility");
    if (format_of(options) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid syslog format");
    return 0;
}

int log_driver_check(const json_t *log, struct err *reterr)
{
    const char *type = json_get_str(log, "Type", "");
    const json_t *options = json_get(log, "Config");
    struct log_limits limits;
    size_t i = 0;
    int r;

    if (str_empty(type))
        type = LOG_DRIVER_DEFAULT;
    while (i < ARRAY_SIZE(drivers) && !streq(drivers[i].name, type))
        i++;
    if (i == ARRAY_SIZE(drivers))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "logger: no log driver named '%s' is registered", type);
    if (!drivers[i].options)
        return 0;
    r = check_names(type, drivers[i].options, options, reterr);
    if (r >= 0)
        r = check_mode(options, reterr);
    if (r >= 0 && streq(type, "syslog"))
        r = check_syslog(options, reterr);
    if (r >= 0 && (streq(type, LOG_DRIVER_DEFAULT) || streq(type, LOG_DRIVER_LOCAL)))
        r = log_limits_parse(log, &limits, reterr);
    return r;
}

/* ---- the plan ---- */

/* One line without blanks or control characters: it stands in a syslog header. */
static char *tag_of(const json_t *options, const struct log_names *n)
{
    const char *template = json_get_str(options, "tag", TAG_DEFAULT), *p;
    const struct {
        const char *key, *value;
        int len;
    } words[] = {{"{{.ID}}", n->id, 12},
                 {"{{.FullID}}", n->id, 64},
                 {"{{.Name}}", n->name, TAG_MAX},
                 {"{{.ImageName}}", n->image, TAG_MAX},
                 {"{{.DaemonName}}", "docker", TAG_MAX}};
    _cleanup_buf_ struct buf out = {0};
    char *tag;

    for (p = template; *p;) {
        size_t i = 0;

        while (i < ARRAY_SIZE(words) && !str_starts(p, words[i].key))
            i++;
        if (i < ARRAY_SIZE(words)) {
            buf_printf(&out, "%.*s", words[i].len, words[i].value);
            p += strlen(words[i].key);
        } else {
            buf_append(&out, p++, 1);
        }
    }
    tag = buf_take_str(&out);
    if (strlen(tag) > TAG_MAX)
        tag[TAG_MAX] = '\0';
    for (char *c = tag; *c; c++)
        *c = (unsigned char)*c <= ' ' || *c == 0x7f ? '_' : *c;
    return tag;
}

/* A name cannot hold a newline; an image reference and a tag are cleaned of it.  What is too long
 * is cut here, where a field ends, and not by the shim's room for all of them. */
static char *journald_fields(const struct log_names *n, const char *tag)
{
    size_t image = strcspn(n->image, "\n");

    return xasprintf("CONTAINER_ID=%.12s\nCONTAINER_ID_FULL=%s\nCONTAINER_NAME=%.*s\n"
                     "CONTAINER_TAG=%s\nIMAGE_NAME=%.*s\nSYSLOG_IDENTIFIER=%s\n",
                     n->id, n->id, NAME_MAX, n->name, tag,
                     (int)(image < FIELD_MAX ? image : FIELD_MAX), n->image, tag);
}

int log_send_plan(const json_t *log, const struct log_names *names, struct plan *plan)
{
    const char *type = json_get_str(log, "Type", "");
    const json_t *options = json_get(log, "Config");
    bool journald = streq(type, "journald");
    _cleanup_free_ char *tag = NULL, *address = NULL, *fields = NULL;
    char host[HOSTNAME_MAX + 1] = "";
    uint64_t buffer, never_wait = streq(json_get_str(options, "mode", ""), "non-blocking");
    int facility = facility_of(options), format = format_of(options);

    if (!journald && !streq(type, "syslog"))
        return 0;
    address = journald ? xstrdup(JOURNALD_SOCKET) : address_of(options);
    if (!address || facility < 0 || format < 0 || buffer_size(options, &buffer, NULL) < 0)
        return 0; /* of another version of the daemon */
    tag = tag_of(options, names);
    fields = journald ? journald_fields(names, tag) : xstrdup("");
    if (*address != '/')
        gethostname(host, sizeof(host) - 1);
    plan_add(plan, PLAN_LOG_SEND, journald ? PLAN_LOG_JOURNALD : (uint64_t)format,
             (uint64_t)facility, buffer, never_wait, address, tag, host, fields, NULL);
    return 1;
}
