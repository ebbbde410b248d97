/* Dockerfiles: from text to instructions.  Pure functions on bytes that a client sent; nothing is
 * looked up and nothing run.
 *
 * Grammar: https://docs.docker.com/reference/dockerfile/.  What an instruction's arguments mean is
 * for the builder to decide, because variables are known only when its turn has come (expand.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "mem.h"

#define DOCKERFILE_MAX (1 << 20)        /* bytes of one */
#define DOCKERFILE_INSTRUCTIONS 2048    /* of one */
#define DOCKERFILE_HEREDOCS 64          /* of one instruction */
#define DOCKERFILE_ARGS_MAX (256 << 10) /* bytes of one instruction's arguments */

/* `<<EOF` and the lines up to EOF. */
struct heredoc {
    char *name;    /* owned */
    char *content; /* owned; with its last newline */
    bool expand;   /* the name was not quoted: variables in it count */
};

enum instruction_kind {
    INS_ADD,
    INS_ARG,
    INS_CMD,
    INS_COPY,
    INS_ENTRYPOINT,
    INS_ENV,
    INS_EXPOSE,
    INS_FROM,
    INS_HEALTHCHECK,
    INS_LABEL,
    INS_MAINTAINER,
    INS_ONBUILD,
    INS_RUN,
    INS_SHELL,
    INS_STOPSIGNAL,
    INS_USER,
    INS_VOLUME,
    INS_WORKDIR,
};

struct instruction {
    enum instruction_kind kind;
    const char *keyword; /* in capitals; static */
    char *original;      /* owned: the whole of it on one line, as it is shown */
    char **flags;        /* owned: "--chown=a" ..., NULL if none */
    char *args;          /* owned: what comes behind the flags, trimmed */
    char **json;         /* owned: the arguments, if they are a JSON array of strings (is_json) */
    bool is_json;
    struct heredoc *heredocs; /* owned */
    size_t n_heredocs;
    unsigned line; /* of its first line, from 1 */
};

struct dockerfile {
    char escape;              /* '\\' or '`' */
    struct instruction *list; /* owned */
    size_t n;
};

#define _cleanup_dockerfile_ _cleanup_(dockerfile_done)

/* text: len bytes, which may hold anything.  ERR_INVALID in dockerd's words. */
int dockerfile_parse(const char *text, size_t len, struct dockerfile *ret, struct err *reterr);
void dockerfile_done(struct dockerfile *d);

/* One instruction from one line, as ONBUILD keeps them. */
int instruction_parse(const char *line, char escape, struct instruction *ret, struct err *reterr);
void instruction_done(struct instruction *ins);

/* The value of --name=value, or NULL. */
const char *instruction_flag(const struct instruction *ins, const char *name);
/* Are all of its flags among the NULL-terminated names, and is each there once? */
int instruction_check_flags(const struct instruction *ins, const char *const *names,
                            struct err *reterr);

/* ---- stages ---- */

struct build_stage {
    const struct instruction *from; /* borrowed, as all of these */
    const struct instruction *first;
    size_t n;       /* instructions behind FROM */
    char *base;     /* owned: the image or stage as FROM has it, variables not replaced */
    char *name;     /* owned: behind AS, in small letters; NULL: none */
    char *platform; /* owned: --platform, or NULL */
};

struct build_stages {
    const struct instruction *args; /* ARG before the first FROM */
    size_t n_args;
    struct build_stage *list; /* owned */
    size_t n;
};

/* d must outlive the result. */
int build_stages_find(const struct dockerfile *d, struct build_stages *ret, struct err *reterr);
void build_stages_done(struct build_stages *s);
/* By name or number among the first n; -ENOENT. */
int build_stages_index(const struct build_stages *s, size_t n, const char *name);
