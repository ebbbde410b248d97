/* `stats` on a terminal: a table that lives, and behind Enter one container with its log. */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "human.h"
#include "json.h"
#include "mux.h"
#include "stats.h"
#include "str.h"
#include "url.h"

#define REFRESH_MS 1000 /* of the list of containers, and of what is shown */
#define NAME_WIDTH 20
#define SPARK_MIN 6
#define SPARK_MAX 24
#define FIXED_WIDTH (NAME_WIDTH + 8 + 20 + 6) /* and 20 for each of network and block I/O */
#define LOG_LINES_MAX 200
#define KEY_ESCAPE 27
#define KEY_CTRL_C 3

enum sort { SORT_CPU, SORT_MEMORY, SORT_NET, SORT_IO, SORT_PIDS, SORT_NAME };

struct screen {
    struct stats_feed feed;
    enum sort sort;
    bool reverse, color, unicode, leave;
    char selected[65]; /* id; "": the first */
    bool details;
    json_t *inspect; /* of the selected one, or NULL */
    char **log;      /* its last lines */
};

/* ---- order ---- */

static double key_of(const struct stats_source *s, enum sort sort)
{
    switch (sort) {
    case SORT_CPU:
        return s->last.cpu;
    case SORT_MEMORY:
        return s->last.memory;
    case SORT_NET:
        return s->rates[0] + s->rates[1];
    case SORT_IO:
        return s->rates[2] + s->rates[3];
    case SORT_PIDS:
        return s->last.pids;
    case SORT_NAME:
        break;
    }
    return 0;
}

static int compare(const void *a, const void *b, void *arg)
{
    const struct stats_source *x = *(struct stats_source *const *)a;
    const struct stats_source *y = *(struct stats_source *const *)b;
    const struct screen *sc = arg;
    double d = key_of(y, sc->sort) - key_of(x, sc->sort);
    int r = d > 0 ? 1 : d < 0 ? -1 : strcmp(x->name, y->name);

    return sc->reverse ? -r : r;
}

static size_t selected(const struct screen *sc)
{
    for (size_t i = 0; i < sc->feed.n; i++) {
        if (streq(sc->feed.sources[i]->id, sc->selected))
            return i;
    }
    return 0;
}

static void select_row(struct screen *sc, size_t i)
{
    if (i < sc->feed.n)
        snprintf(sc->selected, sizeof(sc->selected), "%s", sc->feed.sources[i]->id);
}

/* ---- drawing ---- */

static void put_spark(const struct screen *sc, const struct stats_source *s,
                      enum stats_series series, double top, int width)
{
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char plain[] = " .:-=+*#@";
    double most = top;

    for (unsigned i = 0; i < STATS_HISTORY && i < s->n; i++)
        most = s->history[series][i] > most ? s->history[series][i] : most;
    for (int i = width; i > 0; i--) {
        double v = (unsigned)i <= s->n && i <= STATS_HISTORY
                       ? s->history[series][(s->n - (unsigned)i) % STATS_HISTORY]
                       : 0;
        int level = most > 0 ? (int)(v / most * 8 + 0.5) : 0;

        if (v > 0 && level == 0)
            level = 1; /* little is more than nothing */
        if (sc->unicode)
            addstr(bars[level]);
        else
            addch((chtype)plain[level]);
    }
}

static bool shows_net(void)
{
    return COLS >= FIXED_WIDTH + 20;
}

static bool shows_io(void)
{
    return COLS >= FIXED_WIDTH + 40;
}

static int spark_width(void)
{
    int pairs = shows_net() + shows_io();
    int w = (COLS - FIXED_WIDTH - 20 * pairs) / (2 + pairs);

    return w > SPARK_MAX ? SPARK_MAX : w < SPARK_MIN ? 0 : w;
}

static void put_pair(double a, double b, int width)
{
    char x[HUMAN_MAX], y[HUMAN_MAX], text[2 * HUMAN_MAX + 4];

    human_size(a, 3, x);
    human_size(b, 3, y);
    snprintf(text, sizeof(text), "%s / %s", x, y);
    printw("%*s ", width, text);
}

static void put_row(const struct screen *sc, const struct stats_source *s)
{
    _cleanup_free_ char *name = ellipsis(s->name, NAME_WIDTH - 1);
    int w = spark_width();
    char used[HUMAN_MAX], limit[HUMAN_MAX], text[2 * HUMAN_MAX + 4];

    printw("%-*s", NAME_WIDTH, name);
    if (!s->samples) {
        addstr("     --");
        return;
    }
    printw("%6.1f%% ", s->last.cpu);
    put_spark(sc, s, STATS_CPU, 100, w);
    human_bytes(s->last.memory, used);
    human_bytes(s->last.limit, limit);
    snprintf(text, sizeof(text), "%s / %s", used, limit);
    printw("%19s ", text);
    put_spark(sc, s, STATS_MEMORY, s->last.limit, w);
    if (shows_net()) {
        put_pair(s->rates[0], s->rates[1], 19);
        put_spark(sc, s, STATS_NET, 1, w);
    }
    if (shows_io()) {
        put_pair(s->rates[2], s->rates[3], 19);
        put_spark(sc, s, STATS_IO, 1, w);
    }
    printw("%5.0f", s->last.pids);
}

static void put_titles(const struct screen *sc)
{
    static const char *const sorts[] = {"CPU", "memory", "network", "block I/O", "PIDs", "name"};
    int w = spark_width();

    attron(A_BOLD);
    mvprintw(0, 0, "%zu containers, by %s%s", sc->feed.n, sorts[sc->sort],
             sc->reverse ? " (reversed)" : "");
    attroff(A_BOLD);
    printw("%.*s", COLS > 40 ? COLS - 40 : 0,
           "   c m n i p N: sort  r: reverse  Enter: details  q: quit");
    attron(A_REVERSE);
    mvhline(1, 0, ' ', COLS);
    mvprintw(1, 0, "%-*s%7s %*s%19s %*s", NAME_WIDTH, "NAME", "CPU %", w, "", "MEM USAGE / LIMIT",
             w, "");
    if (shows_net())
        printw("%19s %*s", "NET RX / TX (/s)", w, "");
    if (shows_io())
        printw("%19s %*s", "READ / WRITE (/s)", w, "");
    printw("%5s", "PIDS");
    attroff(A_REVERSE);
}

static void draw_table(struct screen *sc)
{
    size_t at, first, rows = LINES > 3 ? (size_t)LINES - 2 : 1;

    qsort_r(sc->feed.sources, sc->feed.n, sizeof(sc->feed.sources[0]), compare, sc);
    at = selected(sc);
    first = at >= rows ? at - rows + 1 : 0;
    put_titles(sc);
    for (size_t i = first; i < sc->feed.n && i < first + rows; i++) {
        const struct stats_source *s = sc->feed.sources[i];
        int busy = sc->color && s->last.cpu >= 80 ? COLOR_PAIR(1) : 0;

        move((int)(i - first) + 2, 0);
        attron((i == at ? A_REVERSE : A_NORMAL) | busy);
        put_row(sc, s);
        attroff(A_REVERSE | busy);
    }
}

static void put_fact(int *line, const char *key, const char *value)
{
    attron(A_BOLD);
    mvprintw(*line, 0, "%-10s", key);
    attroff(A_BOLD);
    printw("%.*s", COLS > 11 ? COLS - 11 : 0, value);
    ++*line;
}

static void draw_details(struct screen *sc)
{
    const struct stats_source *s = sc->feed.n ? sc->feed.sources[selected(sc)] : NULL;
    const json_t *state = json_get(sc->inspect, "State"), *config = json_get(sc->inspect, "Config");
    size_t n = strv_len(sc->log), room;
    int line = 0;

    put_fact(&line, "Container", json_get_str(sc->inspect, "Name", "/") + 1);
    put_fact(&line, "Id", json_get_str(sc->inspect, "Id", ""));
    put_fact(&line, "Image", json_get_str(config, "Image", ""));
    put_fact(&line, "Command", json_get_str(sc->inspect, "Path", ""));
    put_fact(&line, "Status", json_get_str(state, "Status", "gone"));
    put_fact(&line, "Started", json_get_str(state, "StartedAt", ""));
    if (s && streq(s->id, sc->selected)) {
        mvprintw(line++, 0, "%-*s%7s", NAME_WIDTH, "", "CPU %");
        move(line++, 0);
        put_row(sc, s);
    }
    attron(A_REVERSE);
    mvhline(line, 0, ' ', COLS);
    mvaddstr(line++, 0, "Log   (Esc, Enter or q: back)");
    attroff(A_REVERSE);
    room = LINES > line ? (size_t)(LINES - line) : 0;
    for (size_t i = n > room ? n - room : 0; i < n; i++)
        mvaddnstr(line++, 0, sc->log[i], COLS);
}

/* ---- one container ---- */

static int collect(void *arg, enum mux_stream stream, const char *data, size_t len)
{
    (void)stream;
    buf_append(arg, data, len);
    return 0;
}

/* No byte of a log may move the cursor. */
static char *clean_line(const char *line)
{
    char *out = str_to_utf8(line), *o = out;

    for (const char *p = out; *p; p++) {
        if (*p == '\t')
            *o++ = ' ';
        else if ((unsigned char)*p >= 0x20 && *p != 0x7f)
            *o++ = *p;
    }
    *o = '\0';
    return out;
}

static void split_log(struct screen *sc, char *text)
{
    char *line, *save = NULL;

    strv_free(TAKE_PTR(sc->log));
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        _cleanup_free_ char *clean = clean_line(line);

        sc->log = strv_append(sc->log, clean);
    }
}

static void read_log(struct screen *sc)
{
    _cleanup_free_ char *url = url_format("/containers/%s/logs?stdout=1&stderr=1", sc->selected);
    _cleanup_conn_ struct conn conn = CONN_INIT;
    _cleanup_buf_ struct buf raw = {0}, text = {0};
    _cleanup_free_ char *lines = NULL, *tail = xasprintf("%d", LOG_LINES_MAX);
    struct request req = {.method = "GET"};
    struct mux mux = {0};
    struct err ignored = {0};

    url_add(&url, "tail", tail);
    req.path = url;
    if (client_open(sc->feed.client, &req, &conn, &ignored) < 0) {
        split_log(sc, ignored.message);
        return;
    }
    while (conn_read_body(&conn, &raw, &ignored) > 0)
        ;
    if (streq(conn.head.content_type, "application/vnd.docker.multiplexed-stream"))
        mux_feed(&mux, buf_head(&raw), buf_size(&raw), collect, &text);
    else
        buf_append(&text, buf_head(&raw), buf_size(&raw));
    lines = buf_take_str(&text);
    split_log(sc, lines);
}

static void read_details(struct screen *sc)
{
    _cleanup_free_ char *url = url_format("/containers/%s/json", sc->selected);
    struct err ignored = {0};

    json_decref(TAKE_PTR(sc->inspect));
    client_get(sc->feed.client, url, &sc->inspect, &ignored);
    read_log(sc);
}

/* ---- keys ---- */

static void on_table_key(struct screen *sc, int key)
{
    static const char sorts[] = "cmnipN";
    const char *s = key > 0 && key < 128 ? strchr(sorts, key) : NULL;
    size_t at = selected(sc);

    if (s)
        sc->sort = (enum sort)(s - sorts);
    else if (key == 'r')
        sc->reverse = !sc->reverse;
    else if (key == KEY_UP || key == 'k')
        select_row(sc, at > 0 ? at - 1 : 0);
    else if (key == KEY_DOWN || key == 'j')
        select_row(sc, at + 1);
    else if (key == '\n' || key == '\r' || key == KEY_ENTER) {
        select_row(sc, at);
        sc->details = sc->feed.n > 0;
    } else if (key == 'q') {
        sc->leave = true;
    }
}

static void on_key(struct screen *sc, int key)
{
    if (key == KEY_CTRL_C) {
        sc->leave = true;
    } else if (!sc->details) {
        on_table_key(sc, key);
    } else if (key == KEY_ESCAPE || key == 'q' || key == '\n' || key == '\r' || key == KEY_ENTER) {
        sc->details = false;
        strv_free(TAKE_PTR(sc->log));
    }
    if (sc->details)
        read_details(sc);
}

/* ---- the whole ---- */

static void draw(struct screen *sc)
{
    erase();
    if (sc->details)
        draw_details(sc);
    else
        draw_table(sc);
    refresh();
}

static int run(struct screen *sc, struct err *reterr)
{
    int64_t next = 0;
    int r = 0;

    while (!sc->leave) {
        int64_t now = time_monotonic_ns() / 1000000;
        int key;

        if (now >= next) {
            r = stats_feed_refresh(&sc->feed, reterr);
            if (r < 0)
                break;
            if (sc->details)
                read_details(sc);
            next = now + REFRESH_MS;
        }
        draw(sc);
        stats_feed_wait(&sc->feed, (int)(next > now ? next - now : 0));
        while ((key = getch()) != ERR)
            on_key(sc, key);
    }
    return r;
}

static void set_up(struct screen *sc)
{
    raw(); /* ^C is a key, so that the terminal is put back */
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    sc->color = !getenv("NO_COLOR") && has_colors();
    if (sc->color) {
        start_color();
        use_default_colors();
        init_pair(1, COLOR_RED, -1);
    }
}

int stats_screen(struct client *c, char *const *names, struct err *reterr)
{
    struct screen sc = {.feed = {.client = c, .names = names}};
    SCREEN *terminal;
    int r;

    if (!setlocale(LC_CTYPE, ""))
        setlocale(LC_CTYPE, "C.UTF-8");
    sc.unicode = streq(nl_langinfo(CODESET), "UTF-8");
    terminal = newterm(NULL, stdout, stdin);
    if (!terminal)
        return -ENOTTY;
    set_up(&sc);
    r = run(&sc, reterr);
    endwin();
    delscreen(terminal);
    stats_feed_done(&sc.feed);
    strv_free(sc.log);
    json_decref(sc.inspect);
    return r;
}
