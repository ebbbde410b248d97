/* The Go types that the Engine API's objects have in Docker's client, where {{.State}} and the like
 * show them: which members a struct has, in which order, and what they are if absent.  Keyed by the
 * name of the member that holds one.  Source: github.com/docker/docker/api/types. */
#pragma once

#include <stdbool.h>

/* Kinds of members; what one that is absent prints as follows from it. */
enum go_kind {
    GO_STRING = 's',
    GO_NUMBER = 'i',
    GO_BOOL = 'b',
    GO_LIST = 'l',
    GO_MAP = 'm',
    GO_POINTER = 'p',
    GO_DURATION = 't',
    GO_BEGIN = '{', /* of an embedded struct */
    GO_END = '}',
};

struct go_type {
    const char *key;     /* of the member; "IPAM.Config": that of one of the type IPAM */
    unsigned levels;     /* maps between the member and the structs: 1 for map[string]T */
    const char *members; /* "s.Status b.Running { i.CpuShares }"; NULL: no struct after all */
    const char *string;  /* of one with a String(): "Name=Soft:Hard"; words are members */
};

/* What member `key` of a value that came from member `parent` (may be NULL) is.  NULL: a plain
 * value, or a map of such. */
const struct go_type *go_type_of(const char *parent, const char *key);

struct go_member {
    enum go_kind kind;
    char name[32];
};

/* The member at *at, which moves on; false after the last. */
bool go_next_member(const char **at, struct go_member *ret);
/* GO_END if the type has no such member. */
enum go_kind go_member_kind(const struct go_type *t, const char *name);
/* How Go prints a member of this name that is null. */
const char *go_null_text(const char *key);
/* The member is a time.Duration. */
bool go_is_duration(const char *key);
