#include "help.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "str.h"
#include "tty.h"

static const struct {
    const char *name, *help;
} groups[] = {
    {"builder", "Manage builds"},
    {"checkpoint", "Manage checkpoints"},
    {"container", "Manage containers"},
    {"image", "Manage images"},
    {"manifest", "Manage image manifests and manifest lists"},
    {"network", "Manage networks"},
    {"system", "Manage containerd-lite"},
    {"volume", "Manage volumes"},
};

static const char *const common[] = {"run",    "exec", "ps",      "pull",
                                     "images", "load", "version", "info"};

const char *help_group_name(size_t i)
{
    return i < ARRAY_SIZE(groups) ? groups[i].name : NULL;
}

bool help_is_group(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
        if (streq(groups[i].name, word))
            return true;
    }
    return false;
}

/* Name n of a command: a copy to be freed, or NULL. */
static char *nth_name(const char *names, int n)
{
    const char *s = names;

    for (; n > 0; n--) {
        s = strchr(s, '|');
        if (!s)
            return NULL;
        s++;
    }
    return xstrndup(s, strcspn(s, "|"));
}

static bool is_common(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(common); i++) {
        if (streq(common[i], name))
            return true;
    }
    return false;
}

static void list_commands(FILE *f, bool want_common)
{
    fprintf(f, want_common ? "\nCommon Commands:\n" : "\nCommands:\n");
    for (const struct command *cmd = commands; cmd->names; cmd++) {
        _cleanup_free_ char *name = nth_name(cmd->names, 0);

        if (cmd->help && !strchr(name, ' ') && is_common(name) == want_common)
            fprintf(f, "  %-11s %s\n", name, cmd->help);
    }
}

void help_overview(FILE *f)
{
    _cleanup_buf_ struct buf out = {0};

    fprintf(f, "Usage:  ctlc [OPTIONS] COMMAND\n\nThe client of containerd-lite\n");
    list_commands(f, true);
    fprintf(f, "\nManagement Commands:\n");
    for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
        fprintf(f, "  %-11s %s\n", groups[i].name, groups[i].help);
    list_commands(f, false);
    options_help(&global_option_set, tty_columns(STDOUT_FILENO) - 1, &out);
    buf_append(&out, "", 1);
    fprintf(f, "\nGlobal %s\nRun 'ctlc COMMAND --help' for more information on a command.\n",
            buf_head(&out) + 1);
}

static void list_aliases(const char *names)
{
    char *name;

    printf("\nAliases:\n  ");
    for (int i = 0; (name = nth_name(names, i)); i++) {
        printf("%sctlc %s", i ? ", " : "", name);
        free(name);
    }
    printf("\n");
}

void help_command(const struct command *cmd, const char *path)
{
    _cleanup_buf_ struct buf out = {0};

    printf("Usage:  ctlc %s%s%s\n\n%s\n", path, *cmd->usage ? " " : "", cmd->usage,
           cmd->help ? cmd->help : "");
    if (cmd->aliases)
        list_aliases(cmd->aliases);
    options_help(&cmd->options, tty_columns(STDOUT_FILENO) - 1, &out);
    fwrite(buf_head(&out), 1, buf_size(&out), stdout);
}

#define GROUP_MAX 64

struct entry {
    char *name; /* "container ls"; owned */
    const char *help;
};

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* The commands of a group by the first of their names in it. */
static size_t collect_group(const char *word, struct entry *ret)
{
    size_t n = 0, len = strlen(word);

    for (const struct command *cmd = commands; cmd->names && n < GROUP_MAX; cmd++) {
        bool ours = !cmd->help;
        char *name;

        for (int i = 0; !ours && (name = nth_name(cmd->names, i)); i++) {
            ours = strncmp(name, word, len) == 0 && name[len] == ' ';
            if (ours)
                ret[n++] = (struct entry){name, cmd->help};
            else
                free(name);
        }
    }
    return n;
}

bool help_group(const char *word, FILE *f)
{
    struct entry entries[GROUP_MAX];
    size_t g = 0, len = strlen(word), n;

    while (g < ARRAY_SIZE(groups) && !streq(groups[g].name, word))
        g++;
    if (g == ARRAY_SIZE(groups))
        return false;
    fprintf(f, "Usage:  ctlc %s COMMAND\n\n%s\n\nCommands:\n", word, groups[g].help);
    n = collect_group(word, entries);
    qsort(entries, n, sizeof(*entries), compare_entries);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "  %-11s %s\n", entries[i].name + len + 1, entries[i].help);
        free(entries[i].name);
    }
    fprintf(f, "\nRun 'ctlc %s COMMAND --help' for more information on a command.\n", word);
    return true;
}
