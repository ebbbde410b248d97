/* Shell completion.  `completion SHELL` prints a few lines for that shell, which ask `__complete
 * WORD...` what the last word can become; that is found in the tables of commands and options, and
 * asked of the daemon for the names of what exists.  A line is VALUE, a tab and what it is; the
 * line
 * ":file" leaves the word to the shell. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "help.h"
#include "json.h"
#include "str.h"

/* ---- what the shells run ---- */

static const char bash_script[] =
    "_ctlc() {\n"
    "    local line files=\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        if [ \"$line\" = :file ]; then files=1; else COMPREPLY+=(\"${line%%$'\\t'*}\"); fi\n"
    "    done < <(ctlc __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "    if [ -n \"$files\" ]; then compopt -o default; fi\n"
    "    # bash takes a colon for the end of a word: what is before it is there already\n"
    "    if declare -F __ltrim_colon_completions >/dev/null; then\n"
    "        __ltrim_colon_completions \"${COMP_WORDS[COMP_CWORD]}\"\n"
    "    fi\n"
    "}\n"
    "complete -F _ctlc ctlc\n";

static const char zsh_script[] =
    "#compdef ctlc\n"
    "_ctlc() {\n"
    "    local line files=\n"
    "    local -a found\n"
    "    while IFS= read -r line; do\n"
    "        if [[ $line == :file ]]; then files=1; continue; fi\n"
    "        found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "    done < <(ctlc __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    (( ${#found} )) && _describe ctlc found\n"
    "    [[ -n $files ]] && _files\n"
    "}\n"
    "if [ \"$funcstack[1]\" = _ctlc ]; then _ctlc \"$@\"; else compdef _ctlc ctlc; fi\n";

static const char fish_script[] = "function __ctlc_complete\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    for line in (ctlc __complete $words[2..-1] 2>/dev/null)\n"
                                  "        if test $line = :file\n"
                                  "            __fish_complete_path (commandline -ct)\n"
                                  "        else\n"
                                  "            echo $line\n"
                                  "        end\n"
                                  "    end\n"
                                  "end\n"
                                  "complete -c ctlc -f -a '(__ctlc_complete)'\n";

static const struct {
    const char *shell, *script;
} scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

int cmd_completion(struct invocation *inv)
{
    struct err e = {0};

    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
        if (streq(scripts[i].shell, inv->args[0])) {
            fputs(scripts[i].script, stdout);
            return 0;
        }
    }
    err_set(&e, ERR_INVALID, EINVAL, "unknown shell \"%s\": bash, zsh or fish", inv->args[0]);
    return cli_fail(inv, &e);
}

/* ---- what a word can become ---- */

static void offer(const char *word, const char *value, size_t len, const char *what)
{
    size_t typed = strlen(word);

    if (typed <= len && memcmp(value, word, typed) == 0)
        printf("%.*s\t%.*s\n", (int)len, value, (int)strcspn(what, "\n"), what);
}

static void offer_all(const char *word, const char *value, const char *what)
{
    offer(word, value, strlen(value), what);
}

/* Commands by their first word, or by the second in a group. */
static void offer_commands(const char *group, const char *word)
{
    size_t group_len = group ? strlen(group) : 0;
    const char *name;

    for (size_t i = 0; !group && (name = help_group_name(i)); i++)
        offer_all(word, name, "commands");
    for (const struct command *cmd = commands; cmd->names; cmd++) {
        for (const char *s = cmd->names; cmd->help && *s;) {
            size_t len = strcspn(s, "|");

            if (!group && !memchr(s, ' ', len))
                offer(word, s, len, cmd->help);
            if (group && len > group_len && s[group_len] == ' ' && memcmp(s, group, group_len) == 0)
                offer(word, s + group_len + 1, len - group_len - 1, cmd->help);
            s += len + (s[len] == '|');
        }
    }
}

static void offer_options(const struct option_set *set, const char *word)
{
    const struct opt *o;

    for (size_t t = 0, i = 0; (o = options_next(set, &t, &i));) {
        _cleanup_free_ char *name = xasprintf("--%s", o->name);

        if (o->help)
            offer_all(word, name, o->help);
    }
    offer_all(word, "--help", "Print usage");
}

/* Where names come from: a list, and the member of its entries. */
static const struct source {
    const char *kind; /* as in a usage line */
    const char *path, *list, *member;
} sources[] = {
    {"CONTAINER", "/containers/json?all=1", NULL, "Names"},
    {"IMAGE", "/images/json", NULL, "RepoTags"},
    {"NETWORK", "/networks", NULL, "Name"},
    {"VOLUME", "/volumes", "Volumes", "Name"},
};

/* bash puts what is offered into the line as it is: of a daemon that is not ours, nothing that a
 * shell would read as more than a word. */
static bool is_plain(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_.:/@+,=%-";

    return *name && *name != '-' && strspn(name, plain) == strlen(name);
}

static void offer_name(const char *word, const char *name, const char *kind)
{
    name += *name == '/';
    if (!is_plain(name))
        return;
    if (str_ends(name, ":latest"))
        offer(word, name, strlen(name) - strlen(":latest"), kind);
    offer_all(word, name, kind);
}

/* A daemon that does not answer, or none (c is NULL), has no names; nothing is said. */
static void offer_names(struct client *c, const struct source *from, const char *word)
{
    _cleanup_json_ json_t *reply = NULL;
    struct err ignored;
    json_t *one, *names, *name;
    size_t i, j;

    if (!c || client_get(c, from->path, &reply, &ignored) < 0)
        return;
    json_array_foreach (from->list ? json_object_get(reply, from->list) : reply, i, one) {
        names = json_object_get(one, from->member);
        if (json_is_string(names))
            offer_name(word, json_string_value(names), from->kind);
        json_array_foreach (names, j, name)
            offer_name(word, json_string_value(name), from->kind);
    }
}

static bool offer_kind(struct client *c, const char *kind, size_t len, const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        size_t known = strlen(sources[i].kind);

        /* SOURCE_IMAGE[:TAG], CONTAINER:SRC_PATH */
        for (const char *at = kind; at + known <= kind + len; at++) {
            if (memcmp(at, sources[i].kind, known) == 0) {
                offer_names(c, &sources[i], word);
                return true;
            }
        }
    }
    return false;
}

/* What the values of options are; those that are not here are files or free text. */
static const struct {
    const char *option, *kind, *values; /* values: with "|" between */
} option_values[] = {
    {"network", "NETWORK", NULL},
    {"volumes-from", "CONTAINER", NULL},
    {"link", "CONTAINER", NULL},
    {"volume", "VOLUME", NULL},
    {"restart", NULL, "no|on-failure|always|unless-stopped"},
    {"pull", NULL, "always|missing|never"},
    {"log-driver", NULL, "json-file|local|journald|syslog|none"},
    {"signal", NULL, "HUP|INT|QUIT|KILL|USR1|USR2|TERM"},
    {"format", NULL, "json|table"},
    {"log-level", NULL, "debug|info|warn|error|fatal"},
};

static void offer_value(struct client *c, const char *option, const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(option_values); i++) {
        if (!streq(option_values[i].option, option))
            continue;
        if (option_values[i].kind)
            offer_kind(c, option_values[i].kind, strlen(option_values[i].kind), word);
        for (const char *s = option_values[i].values; s && *s;) {
            size_t len = strcspn(s, "|");

            offer(word, s, len, option);
            s += len + (s[len] == '|');
        }
        return;
    }
    puts(":file");
}

/* The nth word of the usage line that is no option; the last one again for those after it. */
static void offer_argument(struct client *c, const struct command *cmd, int n, const char *word)
{
    const char *last = NULL, *s = cmd->usage;
    size_t last_len = 0;

    for (int at = 0; at <= n && *s && *s != '\n';) {
        size_t len = strcspn(s, " \n");

        if (strncmp(s, "[OPTIONS]", len) != 0) {
            last = s;
            last_len = len;
            at++;
        }
        s += len + (s[len] == ' ');
    }
    if (!last || !offer_kind(c, last, last_len, word))
        puts(":file");
}

static const struct opt *option_of(const struct option_set *set, const char *word)
{
    const struct opt *o;

    for (size_t t = 0, i = 0; (o = options_next(set, &t, &i));) {
        if (str_starts(word, "--") ? streq(o->name, word + 2)
                                   : o->letter && word[strlen(word) - 1] == o->letter)
            return o;
    }
    return NULL;
}

static bool takes_value(const struct opt *o, const char *word)
{
    return o && o->type && !strchr(word, '=');
}

/* After the command's own words: its options and arguments. */
static void complete_command(struct client *c, const struct command *cmd, char **words, int n)
{
    const struct opt *open = NULL;
    const char *word = words[n - 1];
    int arguments = 0;

    for (int i = 0; i < n - 1; i++) {
        if (open) {
            open = NULL;
            continue;
        }
        if (words[i][0] == '-' && words[i][1]) {
            const struct opt *o = option_of(&cmd->options, words[i]);

            open = takes_value(o, words[i]) ? o : NULL;
            continue;
        }
        arguments++;
    }
    if (open)
        offer_value(c, open->name, word);
    else if (*word == '-' && !(cmd->stop_at_argument && arguments > 0))
        offer_options(&cmd->options, word);
    else
        offer_argument(c, cmd, arguments, word);
}

/* The global options before the command; *ret_host is the daemon that the line is for, if it says
 * so.  Returns how many words they are, the last of all never among them. */
static int skip_global(char **words, int n, const char **ret_host)
{
    int at = 0;

    while (at < n - 1 && words[at][0] == '-') {
        const char *word = words[at];
        const struct opt *o = option_of(&global_option_set, word);
        bool value = takes_value(o, word);

        if (value && streq(o->name, "host") && at + 1 < n - 1)
            *ret_host = words[at + 1];
        else if (str_starts(word, "--host="))
            *ret_host = word + strlen("--host=");
        at += 1 + value;
    }
    return at < n - 1 ? at : n - 1;
}

static void complete_words(struct client *c, char **words, int n)
{
    _cleanup_free_ char *path = NULL;
    const struct command *cmd;
    int taken;

    if (n == 1 && *words[0] == '-') {
        offer_options(&global_option_set, words[0]);
        return;
    }
    if (n == 1) {
        offer_commands(NULL, words[0]);
        return;
    }
    cmd = cli_find_command(n - 1, words, &taken, &path);
    if (cmd)
        complete_command(c, cmd, words + taken, n - taken);
    else if (n == 2)
        offer_commands(words[0], words[1]);
}

int cmd_complete(struct invocation *inv)
{
    const char *host = NULL;
    struct client other, *c = inv->client;
    struct err ignored;
    int skip;

    if (inv->n_args == 0)
        return 0;
    skip = skip_global(inv->args, inv->n_args, &host);
    if (host && client_init(&other, host, &ignored) == 0)
        c = &other;
    else if (host)
        c = NULL;
    complete_words(c, inv->args + skip, inv->n_args - skip);
    if (c == &other)
        client_done(&other);
    return 0;
}
