/* Logs in gzip's format, as members of PACK_FRAME bytes of the log each.
 *
 * An extra field of each member (RFC 1952, 2.3.1.1) tells how long it is, packed and plain, so that
 * any place is found by decoding one; and the inode number of the file that it was made of, by
 * which a reader of that file finds its place again.  `zcat` reads them, as it reads what dockerd
 * makes.  libz is loaded when it is needed.  For pool threads. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GZIP_HEAD 32 /* bytes of a member before what is packed */
#define GZIP_TAIL 8

struct gzip_member {
    uint32_t packed, plain; /* bytes; packed with head and tail */
    uint64_t origin;
};

/* 0, or -ELIBACC. */
int gzip_need_library(void);
/* How much a member of so many bytes may take. */
size_t gzip_room(size_t plain);
/* Make a member at out; its length, or -EIO.  The library is there. */
int gzip_pack(char *out, size_t room, const void *plain, size_t len, uint64_t origin);
/* -EBADMSG: it is none of ours.  No library is needed. */
int gzip_parse(const char head[GZIP_HEAD], struct gzip_member *ret);
/* A member of that length to m->plain bytes at out; -EBADMSG: they are not what was packed.  The
 * library is there. */
int gzip_unpack(const struct gzip_member *m, const char *data, void *out);
