/* What an ELF file asks the dynamic loader for (elf(5), ld.so(8)).  Foreign bytes: nothing of the
 * file is run or trusted. */
#pragma once

#include <stdint.h>

#include "mem.h"

struct elf_info {
    unsigned bits;    /* 32 or 64 */
    uint16_t machine; /* EM_X86_64 ... */
    char *interp;     /* owned: the loader; NULL: a library, or a static program */
    char **needed;    /* owned: names as in the file; NULL if none */
    char *rpath;      /* owned, or NULL; "" never */
    char *runpath;    /* the same; the loader then ignores rpath */
};

#define _cleanup_elf_ _cleanup_(elf_info_done)

void elf_info_done(struct elf_info *e);
/* 1, and 0 if it is no ELF file of this machine's byte order; -EBADMSG if it is a broken one, or
 * another negative errno. */
int elf_read(int fd, struct elf_info *ret);
