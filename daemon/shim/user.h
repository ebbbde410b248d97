/* "user[:group]" against the container's own /etc/passwd and /etc/group.  The files are foreign
 * bytes: bounded, streamed, and a malformed line counts as absent. */
#pragma once

#include <sys/types.h>

#include "err.h"

#define USER_GROUPS_MAX 1024
#define USER_HOME_MAX 256
#define USER_FILE_MAX (10u << 20) /* bytes of a file looked at */
#define USER_ID_MAX                                                                                \
    2147483647 /* Docker's limit; beyond it numbers wrapped to root (CVE-2024-40635) */

struct user_ids {
    uid_t uid;
    gid_t gid;
    char home[USER_HOME_MAX];
    size_t groups;
    gid_t group[USER_GROUPS_MAX];
};

/* Rules of Docker: digits are always an id, never a name; a user given without group brings the
 * groups that list its name; with a group given, none.  "" is user 0.
 * passwd and group are descriptors at offset 0, or -EBADF if the image has none (consumed).
 * -ENOENT with Docker's text, -ERANGE. */
int user_resolve(const char *spec, int passwd, int group, struct user_ids *ret, struct err *reterr);

/* One more group, by name or number. */
int user_add_group(struct user_ids *u, const char *name, int group, struct err *reterr);
