/* Command-line options in Docker's (pflag's) syntax, out of one table for parsing, help and the
 * request body: --name=value, --name value, -n value, -nvalue, -itd, --, and no options after the
 * first argument where the command wants that. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"
#include "values.h"

/* How a value combines with an earlier one of the same option. */
enum opt_mode {
    OPT_SET,    /* the last one counts */
    OPT_APPEND, /* a list */
    OPT_MERGE,  /* values are objects, whose members are collected */
};

/* The member of the options struct that a value is stored in. */
enum opt_field {
    FIELD_NONE,
    FIELD_BOOL,   /* bool */
    FIELD_INT,    /* int64_t */
    FIELD_STRING, /* const char *, into argv */
    FIELD_LIST,   /* char **, a string vector that options_free() frees */
};

struct opt {
    const char *name;
    const char *type; /* as --help shows it; NULL: a flag that needs no value */
    const char *help; /* NULL: hidden */
    value_parser parse;
    const char *json; /* dotted path in the request body, or NULL */
    unsigned short offset;
    unsigned char field; /* enum opt_field */
    unsigned char mode;  /* enum opt_mode */
    char letter;
};

/* Offset of member f of struct T, refused at compile time unless it has type `want`. */
#define OPT_OFFSET(T, f, want)                                                                     \
    (unsigned short)(offsetof(T, f) +                                                              \
                     0 * sizeof(                                                                   \
                             char[__builtin_types_compatible_p(__typeof__(((T *)NULL)->f), want)   \
                                      ? 1                                                          \
                                      : -1]))

#define OPT_BOOL(n, l, T, f, h)                                                                    \
    {                                                                                              \
        .name = n, .letter = l, .help = h, .parse = value_bool, .field = FIELD_BOOL,               \
        .offset = OPT_OFFSET(T, f, bool)                                                           \
    }
#define OPT_INT(n, l, T, f, h)                                                                     \
    {                                                                                              \
        .name = n, .letter = l, .type = "int", .help = h, .parse = value_int, .field = FIELD_INT,  \
        .offset = OPT_OFFSET(T, f, int64_t)                                                        \
    }
#define OPT_STRING(n, l, T, f, h)                                                                  \
    {                                                                                              \
        .name = n, .letter = l, .type = "string", .help = h, .parse = value_string,                \
        .field = FIELD_STRING, .offset = OPT_OFFSET(T, f, const char *)                            \
    }
#define OPT_LIST(n, l, t, T, f, p, h)                                                              \
    {                                                                                              \
        .name = n, .letter = l, .type = t, .help = h, .parse = p, .field = FIELD_LIST,             \
        .mode = OPT_APPEND, .offset = OPT_OFFSET(T, f, char **)                                    \
    }
/* Straight into the request body. */
#define OPT_JSON(n, l, t, p, j, h)                                                                 \
    {                                                                                              \
        .name = n, .letter = l, .type = t, .help = h, .parse = p, .json = j                        \
    }
#define OPT_JSON_LIST(n, l, t, p, j, h)                                                            \
    {                                                                                              \
        .name = n, .letter = l, .type = t, .help = h, .parse = p, .json = j, .mode = OPT_APPEND    \
    }
#define OPT_JSON_MAP(n, l, t, p, j, h)                                                             \
    {                                                                                              \
        .name = n, .letter = l, .type = t, .help = h, .parse = p, .json = j, .mode = OPT_MERGE     \
    }

/* Tables end with an entry whose name is NULL. */
#define OPT_END                                                                                    \
    {                                                                                              \
        .name = NULL                                                                               \
    }

#define OPTION_TABLES_MAX 3

struct option_set {
    const struct opt *tables[OPTION_TABLES_MAX]; /* NULL-terminated unless full */
};

struct parsed {
    void *fields; /* the command's struct, borrowed */
    json_t *body; /* owned; NULL until the first option that goes there */
    char **args;  /* the arguments that are no options; into argv, vector owned */
    int n_args;
    bool help; /* --help was given; parsing stopped there */
};

/* Parse argv[0 .. argc): 0, or -EINVAL with the message that Docker prints.  With `interspersed`
 * options are taken from between the arguments too. */
int options_parse(const struct option_set *set, bool interspersed, int argc, char **argv,
                  struct parsed *p, struct err *reterr);
void parsed_done(struct parsed *p);
/* Free the lists in the fields struct. */
void options_free(const struct option_set *set, void *fields);

/* The next option of the set, NULL after the last; *table and *i start at 0. */
const struct opt *options_next(const struct option_set *set, size_t *table, size_t *i);

/* Set, append or merge a value (reference taken over) at a dotted path of object members. */
void json_put_path(json_t **root, const char *path, enum opt_mode mode, json_t *value);
/* The value at a dotted path; borrowed, NULL if absent. */
json_t *json_at(const json_t *root, const char *path);

/* The "Options:" part of --help, wrapped to `columns` (docker: the width of the terminal less one).
 */
void options_help(const struct option_set *set, int columns, struct buf *out);
