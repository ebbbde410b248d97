/* The command line: which command, its options, its help, and how errors are told.  Texts and exit
 * codes are those of Docker's client. */
#pragma once

#include "client.h"
#include "options.h"

#define EXIT_USAGE 125 /* bad options; also: the daemon refused to run or create */
#define EXIT_DAEMON 125
#define EXIT_TEMPLATE 64 /* --format is no template */

struct command;

/* One run of a command. */
struct invocation {
    struct client *client;
    const struct command *command;
    const char *path; /* as typed, in canonical words: "ps" or "container ls" */
    void *options;    /* the command's struct, filled */
    json_t *body;     /* members that options put into the request body; NULL if none; owned */
    char **args;
    int n_args;
};

struct command {
    const char *names;   /* "ps|container ls|container list": the words that select it */
    const char *aliases; /* those that --help lists, as names; NULL: none */
    const char *usage;   /* after the name: "[OPTIONS] CONTAINER [CONTAINER...]" */
    const char *help; /* NULL: hidden */
    int min_args, max_args; /* max -1: any number */
    bool stop_at_argument;  /* what follows the first argument is not ours to read */
    bool raw;               /* all words are arguments, options too */
    bool error_prefix;      /* errors start with "ctlc: " and exit with EXIT_DAEMON (run, create) */
    size_t options_size;
    const void *defaults; /* options_size bytes, or NULL for zeros */
    struct option_set options;
    int (*run)(struct invocation *inv); /* exit code */
};

/* The table, in the order of `ctlc --help`; ends with an entry without names. */
extern const struct command commands[];

int cli_main(int argc, char **argv);
/* The command that these words select, how many of them it takes, and its canonical name (owned by
 * the caller); NULL if there is none. */
const struct command *cli_find_command(int argc, char **argv, int *ret_words, char **ret_path);

/* Print an error the way the command does and return its exit code. */
int cli_fail(const struct invocation *inv, const struct err *e);
/* One line on stderr, for commands that go on with their next argument. */
void cli_print_error(const struct err *e);
/* {"key": {"value": true}} of a list of "key=value" as the filters parameter; NULL if the list is
 * empty.  The caller frees. */
char *filters_json(char *const *filters);
/* Checks "key=value"; becomes the string. */
int value_filter(const char *value, json_t **ret_json, struct err *reterr);
/* Ask on the terminal; true on y. */
bool cli_confirm(const char *question);
