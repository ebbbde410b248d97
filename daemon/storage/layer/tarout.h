/* A tar on standard output, hashed on its way: pax where ustar does not reach, the same bytes for
 * the same tree. */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"
#include "sha.h"
#include "writeback.h"

struct tarout {
    struct archive *tar; /* owned */
    struct sha sha;
    int64_t length;
    struct writeback writeback;
    bool tell; /* set before tarout_start(): no digest is made, and report_wrote() says how far it
                  is */
    int error; /* errno of a failed write */
};

int tarout_init(struct tarout *t, struct err *reterr); /* before the sandbox */
void tarout_done(struct tarout *t);
int tarout_start(struct tarout *t, struct err *reterr);
int tarout_header(struct tarout *t, struct archive_entry *e, struct err *reterr);
int tarout_data(struct tarout *t, const void *data, size_t len, struct err *reterr);
/* ret_hex: "-" if no digest was made. */
int tarout_finish(struct tarout *t, char ret_hex[SHA_HEX], struct err *reterr);
