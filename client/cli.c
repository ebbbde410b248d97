#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "help.h"
#include "json.h"
#include "str.h"
#include "suggest.h"

struct global_options {
    const char *host, *config, *context, *log_level;
    bool debug, version;
};

static const struct opt global_opts[] = {
    OPT_STRING("config", 0, struct global_options, config,
               "Location of client config files (ignored)"),
    OPT_STRING("context", 'c', struct global_options, context, NULL),
    OPT_BOOL("debug", 'D', struct global_options, debug, "Enable debug mode"),
    OPT_STRING("host", 'H', struct global_options, host, "Daemon socket to connect to"),
    OPT_STRING("log-level", 'l', struct global_options, log_level,
               "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\") "
               "(default \"info\")"),
    OPT_BOOL("version", 'v', struct global_options, version, "Print version information and quit"),
    OPT_END,
};

const struct option_set global_option_set = {{global_opts}};

void cli_print_error(const struct err *e)
{
    fprintf(stderr, "%s\n", e->message);
}

int cli_fail(const struct invocation *inv, const struct err *e)
{
    fflush(stdout);
    if (inv->command->error_prefix) {
        fprintf(stderr, "ctlc: %s\n\nRun 'ctlc %s --help' for more information\n", e->message,
                inv->path);
        return EXIT_DAEMON;
    }
    cli_print_error(e);
    return 1;
}

int value_filter(const char *value, json_t **ret_json, struct err *reterr)
{
    if (!strchr(value, '='))
        return err_set(reterr, ERR_INVALID, EINVAL, "bad format of filter (expected name=value)");
    return value_string(value, ret_json, reterr);
}

static char *trimmed_lower(const char *s, size_t len)
{
    char *key;

    while (len > 0 && *s == ' ') {
        s++;
        len--;
    }
    while (len > 0 && s[len - 1] == ' ')
        len--;
    key = xstrndup(s, len);
    for (char *c = key; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    return key;
}

char *filters_json(char *const *filters)
{
    _cleanup_json_ json_t *all = json_object();

    for (size_t i = 0; filters && filters[i]; i++) {
        const char *eq = strchr(filters[i], '=');
        size_t len = (size_t)(eq - filters[i]);
        bool negated = len > 0 && filters[i][len - 1] == '!';
        _cleanup_free_ char *key = trimmed_lower(filters[i], len - negated);
        _cleanup_free_ char *name = xasprintf("%s%s", key, negated ? "!" : "");
        json_t *values = json_object_get(all, name);

        if (!values) {
            values = json_object();
            json_object_set_new(all, name, values);
        }
        json_object_set_new(values, eq + 1 + strspn(eq + 1, " "), json_true());
    }
    return json_object_size(all) ? json_to_str(all) : NULL;
}

bool cli_confirm(const char *question)
{
    char answer[16] = "";

    printf("%s [y/N] ", question);
    fflush(stdout);
    if (!fgets(answer, sizeof(answer), stdin))
        return false;
    return strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "y") == 0;
}

static int usage_error(const char *path, const char *usage, const char *message)
{
    fprintf(stderr, "%s\n\nUsage:  ctlc%s%s %s\n\nRun 'ctlc%s%s --help' for more information\n",
            message, *path ? " " : "", path, usage, *path ? " " : "", path);
    return EXIT_USAGE;
}

/* "requires at least 1 argument": the words and the hint differ by kind, as they do in Docker. */
static bool check_args(const struct command *cmd, const char *path, int n)
{
    char what[80];
    bool at_least = false;

    if (n >= cmd->min_args && (cmd->max_args < 0 || n <= cmd->max_args))
        return true;
    if (cmd->max_args == 0) {
        snprintf(what, sizeof(what), "accepts no arguments");
    } else if (cmd->max_args == cmd->min_args) {
        snprintf(what, sizeof(what), "requires %d argument%s", cmd->min_args,
                 cmd->min_args == 1 ? "" : "s");
    } else if (cmd->max_args < 0) {
        at_least = true;
        snprintf(what, sizeof(what), "requires at least %d argument%s", cmd->min_args,
                 cmd->min_args == 1 ? "" : "s");
    } else if (cmd->min_args == 0) {
        snprintf(what, sizeof(what), "requires at most %d argument%s", cmd->max_args,
                 cmd->max_args == 1 ? "" : "s");
    } else {
        snprintf(what, sizeof(what), "requires at least %d and at most %d arguments", cmd->min_args,
                 cmd->max_args);
    }
    fprintf(stderr,
            "ctlc: 'ctlc %s' %s\n\nUsage:  ctlc %s%s%s\n\n%s 'ctlc %s --help' for more "
            "information\n",
            path, what, path, *cmd->usage ? " " : "", cmd->usage, at_least ? "See" : "Run", path);
    return false;
}

static int run_command(struct client *c, const struct command *cmd, const char *path, int argc,
                       char **argv)
{
    _cleanup_free_ void *fields = xcalloc(1, cmd->options_size + 1);
    struct parsed p = {.fields = fields};
    struct invocation inv;
    struct err e = {0};
    int code;

    if (cmd->defaults)
        memcpy(fields, cmd->defaults, cmd->options_size);
    if (cmd->raw)
        return cmd->run(&(struct invocation){
            .client = c, .command = cmd, .path = path, .args = argv, .n_args = argc});
    if (options_parse(&cmd->options, !cmd->stop_at_argument, argc, argv, &p, &e) < 0) {
        code = usage_error(path, cmd->usage, e.message);
    } else if (p.help) {
        help_command(cmd, path);
        code = 0;
    } else if (!check_args(cmd, path, p.n_args)) {
        code = 1;
    } else {
        inv = (struct invocation){.client = c,
                                  .command = cmd,
                                  .path = path,
                                  .options = fields,
                                  .body = TAKE_PTR(p.body),
                                  .args = p.args,
                                  .n_args = p.n_args};
        code = cmd->run(&inv);
        json_decref(inv.body);
    }
    options_free(&cmd->options, fields);
    parsed_done(&p);
    return code;
}

const struct command *cli_find_command(int argc, char **argv, int *ret_words, char **ret_path)
{
    for (const struct command *cmd = commands; cmd->names; cmd++) {
        char *group_name = NULL; /* the first of the two-word names is the canonical one */

        for (const char *s = cmd->names; *s;
             s += s[strcspn(s, "|")] ? strcspn(s, "|") + 1 : strlen(s)) {
            _cleanup_free_ char *name = xstrndup(s, strcspn(s, "|"));
            char *space = strchr(name, ' ');

            if (!space && streq(name, argv[0])) {
                free(group_name);
                *ret_words = 1;
                *ret_path = TAKE_PTR(name);
                return cmd;
            }
            if (!space)
                continue;
            if (!group_name)
                group_name = xstrdup(name);
            *space = '\0';
            if (argc > 1 && streq(name, argv[0]) && streq(space + 1, argv[1])) {
                *ret_words = 2;
                *ret_path = group_name;
                return cmd;
            }
        }
        free(group_name);
    }
    return NULL;
}

static int unknown_command(const char *group, const char *word)
{
    _cleanup_buf_ struct buf meant = {0};

    suggest_commands(group, word, &meant);
    buf_append(&meant, "", 1);
    if (group)
        fprintf(
            stderr,
            "ctlc: unknown command: ctlc %s %s%s\n\nUsage:  ctlc %s\n\nRun 'ctlc %s --help' for "
            "more information\n",
            group, word, buf_head(&meant), group, group);
    else
        fprintf(stderr,
                "ctlc: unknown command: ctlc %s%s\n\nRun 'ctlc --help' for more information\n",
                word, buf_head(&meant));
    return 1;
}

static int run_words(struct client *c, int argc, char **argv)
{
    _cleanup_free_ char *path = NULL;
    const struct command *cmd;
    int words;

    if (streq(argv[0], "help")) {
        if (argc == 1) {
            help_overview(stdout);
            return 0;
        }
        argv++;
        argc--;
        cmd = cli_find_command(argc, argv, &words, &path);
        if (cmd)
            help_command(cmd, path);
        else if (!help_group(argv[0], stdout))
            return unknown_command(NULL, argv[0]);
        return 0;
    }
    cmd = cli_find_command(argc, argv, &words, &path);
    if (cmd)
        return run_command(c, cmd, path, argc - words, argv + words);
    if (!help_is_group(argv[0]))
        return unknown_command(NULL, argv[0]);
    if (argc > 1 && !streq(argv[1], "--help") && !streq(argv[1], "-h"))
        return argv[1][0] == '-' ? usage_error(argv[0], "COMMAND", "unknown flag")
                                 : unknown_command(argv[0], argv[1]);
    help_group(argv[0], argc > 1 ? stdout : stderr);
    return 0;
}

int cli_main(int argc, char **argv)
{
    struct global_options global = {0};
    struct parsed p = {.fields = &global};
    struct client client;
    struct err e = {0};
    int code;

    if (options_parse(&global_option_set, false, argc - 1, argv + 1, &p, &e) < 0) {
        code = usage_error("", "[OPTIONS] COMMAND [ARG...]", e.message);
    } else if (global.version) {
        printf("ctlc version %s, build containerd-lite\n", CTL_VERSION);
        code = 0;
    } else if (p.help || p.n_args == 0) {
        help_overview(stdout);
        code = 0;
    } else if (client_init(&client, global.host, &e) < 0) {
        cli_print_error(&e);
        code = 1;
    } else {
        code = run_words(&client, p.n_args, p.args);
        client_done(&client);
    }
    parsed_done(&p);
    if (fflush(stdout) != 0 && code == 0)
        code = 1;
    return code;
}
