/* Types of the members of foreign JSON, checked by tables and told as Go's decoder tells them: what
 * clients of Docker read, and what a later reader can rely on.  Members that are not in the table
 * are ignored, null is as good as nothing. */
#pragma once

#include <jansson.h>

#include "err.h"

struct go_limits {
    size_t list;   /* entries of any list or map */
    size_t string; /* bytes of any string but GO_TEXT */
};

enum go_type {
    GO_STRING, /* without a NUL: it would cut a path, argument or variable silently */
    GO_TEXT,   /* for people; anything */
    GO_BOOL,
    GO_INT,
    GO_UINT,
    GO_UINT16,
    GO_UINT32,
    GO_STRINGS,    /* []string */
    GO_WORDS,      /* string or []string */
    GO_STRING_MAP, /* map[string]string */
    GO_SET,        /* map[string]struct{} */
    GO_OBJECT,     /* a struct with members */
    GO_OBJECTS,    /* a list of them */
    GO_OBJECT_MAP, /* map[string]struct */
    GO_LIST_MAP,   /* map[string][]struct */
    GO_PAIR,       /* [2]uint */
    GO_EMBEDDED,   /* the members of fields, here */
    GO_ANY,
};

struct go_field {
    const char *name;
    enum go_type type;
    const char *go;                /* Go's name of the type, for messages */
    const struct go_field *fields; /* of objects, ended by GO_END */
};

#define GO_END                                                                                     \
    {                                                                                              \
        NULL, GO_ANY, NULL, NULL                                                                   \
    }

/* Of container.Config, which a request and an image's configuration have. */
extern const struct go_field go_container_config[];

/* 0 if obj is null or an object whose members have the types of fields; otherwise -EINVAL or
 * -E2BIG, ERR_INVALID and "json: cannot unmarshal number into Go struct field PATH.NAME of type
 * string". Pure. */
int go_types_check(const json_t *obj, const struct go_field *fields, const char *path,
                   const struct go_limits *max, struct err *reterr);
