/* A tar archive as a list of pieces, some in memory and some parts of files: its size is known
 * before a byte of it is made, and none of it is copied.  Any thread, one at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define TARBALL_NAME_MAX 99

struct tarball;

struct tarball *tarball_new(void);
void tarball_free(struct tarball *t); /* closes what it holds; NULL does nothing */

/* Entries with mode 0644 (0755), owner 0 and time 0: the same content is the same archive.  name:
 * at most TARBALL_NAME_MAX bytes. */
void tarball_add_dir(struct tarball *t, const char *name);
void tarball_add_data(struct tarball *t, const char *name, const void *data,
                      size_t len); /* copied */
/* The first size bytes of fd (taken over), from its beginning. */
void tarball_add_file(struct tarball *t, const char *name, int fd, int64_t size);
/* The end-of-archive mark; nothing is added after it. */
void tarball_end(struct tarball *t);

int64_t tarball_size(const struct tarball *t);
/* Send what a non-blocking socket takes, at most about max bytes: 0 when all is sent, -EAGAIN when
 * the socket is full or max is reached, or another negative errno. */
int tarball_send(struct tarball *t, int sock, int64_t max);
