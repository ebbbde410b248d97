#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "format.h"
#include "json.h"
#include "progress.h"
#include "str.h"
#include "url.h"

const struct opt events_opts[] = {
    OPT_LIST("filter", 'f', "filter", struct events_options, filters, value_filter,
             "Filter output based on conditions provided"),
    OPT_STRING("format", 0, struct events_options, format, FORMAT_HELP_SHORT),
    OPT_STRING("since", 0, struct events_options, since, "Show all events created since timestamp"),
    OPT_STRING("until", 0, struct events_options, until, "Stream events until this timestamp"),
    OPT_END,
};

/* RFC 3339 in the local zone, always with nine digits. */
static void local_time(int64_t ns, char ret[TIME_STR_MAX])
{
    time_t t = (time_t)(ns / 1000000000);
    struct tm tm;
    char zone[8];
    size_t n;

    localtime_r(&t, &tm);
    n = strftime(ret, TIME_STR_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof(zone), "%z", &tm);
    if (tm.tm_gmtoff == 0)
        snprintf(ret + n, TIME_STR_MAX - n, ".%09lldZ", (long long)(ns % 1000000000));
    else
        snprintf(ret + n, TIME_STR_MAX - n, ".%09lld%.3s:%.2s", (long long)(ns % 1000000000), zone,
                 zone + 3);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The attributes in the order of their keys, as Go writes a map. */
static void sort_attributes(json_t *event)
{
    json_t *actor = json_object_get(event, "Actor"), *old = json_object_get(actor, "Attributes");
    size_t count = json_object_size(old), n = 0;
    _cleanup_free_ const char **keys = xcalloc(count + 1, sizeof(*keys));
    json_t *sorted, *value;
    const char *key;

    if (count == 0)
        return;
    sorted = json_object();
    json_object_foreach (old, key, value)
        keys[n++] = key;
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (size_t i = 0; i < n; i++)
        json_object_set(sorted, keys[i], json_object_get(old, keys[i]));
    json_object_set_new(actor, "Attributes", sorted);
}

static void print_attributes(json_t *attributes)
{
    const char *key, *before = " (";
    json_t *value;

    json_object_foreach (attributes, key, value) {
        const char *text = json_string_value(value);

        printf("%s%s=%s", before, key, text ? text : "");
        before = ", ";
    }
    if (json_object_size(attributes))
        printf(")");
}

/* On a terminal each container has its colour. */
static void print_id(const json_t *event, const char *id)
{
    static const int colors[] = {36, 33, 32, 35, 34, 96, 93, 92, 95, 94};
    unsigned hash = 0;

    for (const char *p = id; *p; p++)
        hash = hash * 31 + (unsigned char)*p;
    if (isatty(STDOUT_FILENO) && str_empty(getenv("NO_COLOR")) &&
        streq(json_get_str(event, "Type", ""), "container"))
        printf("\x1b[%dm%s\x1b[0m", colors[hash % ARRAY_SIZE(colors)], id);
    else
        printf("%s", id);
}

static void print_event(const json_t *event)
{
    int64_t nano = json_get_int(event, "timeNano", 0);
    const json_t *actor = json_get(event, "Actor");
    char when[TIME_STR_MAX];

    local_time(nano ? nano : json_get_int(event, "time", 0) * 1000000000, when);
    printf("%s %s %s ", when, json_get_str(event, "Type", ""), json_get_str(event, "Action", ""));
    print_id(event, json_get_str(actor, "ID", ""));
    print_attributes(json_get(actor, "Attributes"));
    printf("\n");
}

static int show_event(json_t *event, const struct template *t, struct err *reterr)
{
    _cleanup_buf_ struct buf out = {0};
    int r;

    if (!t) {
        print_event(event);
        return 0;
    }
    r = template_exec(t, &(struct template_data){.root = event}, &out, reterr);
    buf_append_str(&out, "\n");
    fwrite(buf_head(&out), 1, buf_size(&out), stdout);
    return r;
}

static int follow(struct conn *conn, const struct template *t, struct err *reterr)
{
    _cleanup_buf_ struct buf data = {0};
    int r;

    while ((r = conn_read_body(conn, &data, reterr)) > 0) {
        for (;;) {
            bool bad;
            _cleanup_json_ json_t *event = json_take_object(&data, &bad);

            if (bad)
                return err_set(reterr, ERR_SYSTEM, 0, "invalid JSON from the daemon");
            if (!event)
                break;
            sort_attributes(event);
            if (show_event(event, t, reterr) < 0)
                return -1;
        }
        fflush(stdout);
    }
    return r;
}

static int add_time(char **url, const char *key, const char *value, struct err *reterr)
{
    _cleanup_free_ char *stamp = NULL;

    if (str_empty(value))
        return 0;
    stamp = parse_timestamp(value, time_now_ns(), reterr);
    if (!stamp)
        return -1;
    url_add(url, key, stamp);
    return 0;
}

int cmd_events(struct invocation *inv)
{
    const struct events_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/events"), *filters = filters_json(o->filters);
    _cleanup_free_ char *text = NULL;
    _cleanup_(template_freep) struct template *t = NULL;
    _cleanup_conn_ struct conn conn = CONN_INIT;
    struct request req = {.method = "GET"};
    struct err e = {0};
    int r = 0;

    if (!str_empty(o->format)) {
        text = format_unescape(streq(o->format, "json") ? "{{json .}}" : o->format);
        t = template_parse(text, &e);
        if (!t) {
            fprintf(stderr, "Error parsing format: %s\n", e.message);
            return EXIT_TEMPLATE;
        }
    }
    url_add(&url, "filters", filters);
    r = add_time(&url, "since", o->since, &e);
    if (r == 0)
        r = add_time(&url, "until", o->until, &e);
    req.path = url;
    if (r == 0)
        r = client_open(inv->client, &req, &conn, &e);
    if (r == 0)
        r = follow(&conn, t, &e);
    return r < 0 ? cli_fail(inv, &e) : 0;
}
