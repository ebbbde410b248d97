#include "stats.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "human.h"
#include "json.h"
#include "str.h"
#include "url.h"

const struct opt stats_opts[] = {
    OPT_BOOL("all", 'a', struct stats_options, all,
             "Show all containers (default shows just running)"),
    OPT_STRING("format", 0, struct stats_options, format, FORMAT_HELP),
    OPT_BOOL("no-stream", 0, struct stats_options, no_stream,
             "Disable streaming stats and only pull the first result"),
    OPT_BOOL("no-trunc", 0, struct stats_options, no_trunc, "Do not truncate output"),
    OPT_END,
};

static const struct column columns[] = {
    {"BlockIO", "BLOCK I/O"},   {"CPUPerc", "CPU %"},
    {"Container", "CONTAINER"}, {"ID", "CONTAINER ID"},
    {"MemPerc", "MEM %"},       {"MemUsage", "MEM USAGE / LIMIT"},
    {"Name", "NAME"},           {"NetIO", "NET I/O"},
    {"PIDs", "PIDS"},           {NULL, NULL},
};

static double number(const json_t *root, const char *path)
{
    return json_number_value(json_at(root, path));
}

/* Docker's formula: the share of the machine's time between the two samples, times its CPUs. */
static double cpu_percent(const json_t *s)
{
    double used = number(s, "cpu_stats.cpu_usage.total_usage") -
                  number(s, "precpu_stats.cpu_usage.total_usage");
    double system =
        number(s, "cpu_stats.system_cpu_usage") - number(s, "precpu_stats.system_cpu_usage");
    double cpus = number(s, "cpu_stats.online_cpus");

    if (cpus == 0)
        cpus = (double)json_array_size(json_at(s, "cpu_stats.cpu_usage.percpu_usage"));
    return used > 0 && system > 0 ? used / system * cpus * 100 : 0;
}

/* Without the page cache that could be dropped at once: v1 and v2 name it differently. */
static double memory_used(const json_t *s)
{
    double usage = number(s, "memory_stats.usage");
    double cache = number(s, "memory_stats.stats.total_inactive_file");

    if (!json_at(s, "memory_stats.stats.total_inactive_file"))
        cache = number(s, "memory_stats.stats.inactive_file");
    return cache < usage ? usage - cache : usage;
}

static void network_bytes(const json_t *s, double *rx, double *tx)
{
    const char *name;
    json_t *n;

    json_object_foreach (json_get(s, "networks"), name, n) {
        *rx += number(n, "rx_bytes");
        *tx += number(n, "tx_bytes");
    }
}

static void block_bytes(const json_t *s, double *read, double *written)
{
    const json_t *list = json_at(s, "blkio_stats.io_service_bytes_recursive");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        char op = json_get_str(entry, "op", " ")[0];

        if (op == 'r' || op == 'R')
            *read += number(entry, "value");
        else if (op == 'w' || op == 'W')
            *written += number(entry, "value");
    }
}

void stats_figures(const json_t *sample, struct stats_figures *ret)
{
    *ret = (struct stats_figures){.cpu = cpu_percent(sample),
                                  .memory = memory_used(sample),
                                  .limit = number(sample, "memory_stats.limit"),
                                  .pids = number(sample, "pids_stats.current")};
    network_bytes(sample, &ret->rx, &ret->tx);
    block_bytes(sample, &ret->read, &ret->write);
}

static json_t *row_of(const json_t *s, const char *asked, bool no_trunc)
{
    const char *id = json_get_str(s, "id", ""), *name = json_get_str(s, "name", "");
    struct stats_figures f;
    char a[HUMAN_MAX], b[HUMAN_MAX], cut[13], cpu[32], percent[32], pids[32];
    _cleanup_free_ char *memory = NULL, *net = NULL, *block = NULL;

    stats_figures(s, &f);
    human_bytes(f.memory, a);
    human_bytes(f.limit, b);
    memory = xasprintf("%s / %s", a, b);
    human_size(f.rx, 3, a);
    human_size(f.tx, 3, b);
    net = xasprintf("%s / %s", a, b);
    human_size(f.read, 3, a);
    human_size(f.write, 3, b);
    block = xasprintf("%s / %s", a, b);
    snprintf(cpu, sizeof(cpu), "%.2f%%", f.cpu);
    snprintf(percent, sizeof(percent), "%.2f%%", f.limit > 0 ? f.memory / f.limit * 100 : 0);
    snprintf(pids, sizeof(pids), "%.0f", f.pids);
    short_id(id, cut);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "BlockIO", block, "CPUPerc",
                     cpu, "Container", asked, "ID", no_trunc ? id : cut, "MemPerc", percent,
                     "MemUsage", memory, "Name", name + (*name == '/'), "NetIO", net, "PIDs", pids);
}

static int names_of(struct invocation *inv, char ***ret, struct err *reterr)
{
    const struct stats_options *o = inv->options;
    _cleanup_json_ json_t *list = NULL;
    int r;

    for (int i = 0; i < inv->n_args; i++)
        *ret = strv_append(*ret, inv->args[i]);
    if (inv->n_args)
        return 0;
    r = client_get(inv->client, o->all ? "/containers/json?all=1" : "/containers/json", &list,
                   reterr);
    for (size_t i = 0; i < json_array_size(list); i++)
        *ret = strv_append(*ret, json_get_str(json_array_get(list, i), "Id", ""));
    return r;
}

/* All are asked at once, as the daemon takes a second between its two samples. */
static int sample(struct client *c, char *const *names, json_t **rows, bool no_trunc,
                  struct err *reterr)
{
    struct conn conns[STATS_CONTAINERS_MAX];
    struct err errors[STATS_CONTAINERS_MAX] = {{0}};
    char *urls[STATS_CONTAINERS_MAX];
    size_t n = strv_len(names) < STATS_CONTAINERS_MAX ? strv_len(names) : STATS_CONTAINERS_MAX;
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        struct request req = {.method = "GET"};

        urls[i] = url_format("/containers/%s/stats?stream=0", names[i]);
        req.path = urls[i];
        conns[i] = CONN_INIT;
        client_send(c, &req, true, &conns[i], &errors[i]);
    }
    for (size_t i = 0; i < n; i++) {
        struct request req = {.method = "GET", .path = urls[i]};
        _cleanup_buf_ struct buf body = {0};
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *s = NULL;
        int one = client_receive(c, &req, &conns[i], &errors[i]);

        while (one >= 0 && (one = conn_read_body(&conns[i], &body, &errors[i])) > 0)
            ;
        text = buf_take_str(&body);
        s = one == 0 ? json_loads(text, 0, NULL) : NULL;
        if (s)
            json_array_append_new(*rows, row_of(s, names[i], no_trunc));
        else if (r == 0) {
            *reterr = errors[i];
            r = -1;
        }
        conn_done(&conns[i]);
        free(urls[i]);
    }
    return r;
}

static int show(struct invocation *inv, bool clear, struct err *reterr)
{
    static const char table[] = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}"
                                "\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
    const struct stats_options *o = inv->options;
    _cleanup_json_ json_t *rows = json_array();
    char **names = NULL;
    struct format f;
    int r = format_init(&f, o->format, table, NULL, "*stats.statsContext", columns, reterr);

    if (r == 0)
        r = names_of(inv, &names, reterr);
    if (r == 0)
        r = sample(inv->client, names, &rows, o->no_trunc, reterr);
    for (size_t i = 0; i < json_array_size(rows) && r == 0; i++) {
        json_t *row = json_array_get(rows, i);

        if (!inv->n_args) /* nobody gave it a name */
            json_object_set(row, "Container", json_object_get(row, "ID"));
        r = format_row(&f, row, NULL, reterr);
    }
    if (r == 0 && clear)
        printf("\x1b[H\x1b[J");
    if (r == 0)
        r = format_finish(&f, reterr);
    fflush(stdout);
    format_done(&f);
    strv_free(names);
    return r;
}

int cmd_stats(struct invocation *inv)
{
    const struct stats_options *o = inv->options;
    bool terminal = isatty(STDOUT_FILENO);
    struct err e = {0};
    _cleanup_json_ json_t *version = NULL;
    int r = client_get(inv->client, "/version", &version, &e); /* settles what version to speak */

    /* All containers, stopped ones too, are a list and no picture of what goes on. */
    if (r == 0 && terminal && isatty(STDIN_FILENO) && !o->no_stream && !o->all &&
        str_empty(o->format)) {
        char **names = NULL;

        for (int i = 0; i < inv->n_args; i++)
            names = strv_append(names, inv->args[i]);
        r = stats_screen(inv->client, names, &e);
        strv_free(names);
        if (r != -ENOTTY)
            return r < 0 ? cli_fail(inv, &e) : 0;
        r = 0;
    }
    while (r == 0) {
        r = show(inv, terminal && !o->no_stream, &e);
        if (o->no_stream)
            break;
    }
    return r < 0 ? cli_fail(inv, &e) : 0;
}
