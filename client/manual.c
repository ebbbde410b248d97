/* The reference part of ctlc(1), of the same tables as --help and completion. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "str.h"

/* Text as roff has it: no hyphen becomes a dash, no line a request. */
static void put_text(const char *s)
{
    if (*s == '.' || *s == '\'')
        printf("\\&");
    for (; *s; s++) {
        if (*s == '-' || *s == '\\')
            printf(*s == '-' ? "\\-" : "\\e");
        else
            putchar(*s == '\n' ? ' ' : *s);
    }
}

/* One line of several becomes one of its own; blanks in front of it are for terminals. */
static void put_help(const char *help)
{
    for (const char *line = help; *line;) {
        size_t len = strcspn(line, "\n");
        _cleanup_free_ char *one = xstrndup(line, len);

        put_text(one + strspn(one, " "));
        printf("\n");
        line += len + (line[len] == '\n');
        if (*line)
            printf(".br\n");
    }
}

static void put_option(const struct opt *o)
{
    printf(".TP\n");
    if (o->letter)
        printf("\\fB\\-%c\\fR, ", o->letter);
    printf("\\fB\\-\\-");
    put_text(o->name);
    printf("\\fR");
    if (o->type) {
        printf(" \\fI");
        put_text(o->type);
        printf("\\fR");
    }
    printf("\n");
    put_help(o->help);
}

static void put_command(const struct command *cmd)
{
    size_t table = 0, i = 0;
    const struct opt *o;

    printf(".SS \"");
    for (const char *s = cmd->names; *s;) {
        size_t len = strcspn(s, "|");
        _cleanup_free_ char *name = xstrndup(s, len);

        put_text(name);
        s += len + (s[len] == '|');
        printf(*s ? ", " : "\"\n");
    }
    printf("\\fIArguments:\\fR ");
    put_help(cmd->usage && *cmd->usage ? cmd->usage : "none");
    printf(".br\n");
    put_help(cmd->help);
    while ((o = options_next(&cmd->options, &table, &i))) {
        if (o->help)
            put_option(o);
    }
}

int cmd_manual(struct invocation *inv)
{
    (void)inv;
    printf(".SH \"ALL COMMANDS AND THEIR OPTIONS\"\n");
    for (const struct command *cmd = commands; cmd->names; cmd++) {
        if (cmd->help)
            put_command(cmd);
    }
    return 0;
}
