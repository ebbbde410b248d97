/* Where the dynamic loader looks for libraries: its cache (ldconfig(8)) and directories. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "elfinfo.h"

#define LDSO_CACHE "/etc/ld.so.cache"

struct ldso {
    char *cache; /* owned: the file's bytes, NULL if there is none */
    size_t len;
    char **dirs; /* owned: those of ld.so.conf, if there is no cache, and the usual ones */
};

/* One object that was loaded, and by whom: its search path counts for what it needs. */
struct ldso_object {
    const struct ldso_object *by; /* NULL: a program */
    const char *dir;              /* $ORIGIN: where it is, without symlinks */
    const struct elf_info *elf;
};

void ldso_open(struct ldso *l);
void ldso_close(struct ldso *l);
/* Paths of files that the loader may take for `name`, which `object` needs, in its order; not all
 * of them need be there.  Vector for strv_free(); NULL if none. */
char **ldso_candidates(const struct ldso *l, const struct ldso_object *object, const char *name);
/* The cache's part of it (for tests): foreign bytes too. */
char **ldso_cached(const char *cache, size_t len, const char *name);
