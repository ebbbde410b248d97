/* Reading a log in files: the one that is written and what was rotated away from it, as one stream.
 *
 * The shim appends to PATH and, where a size is given, renames it to PATH.1, PATH.1 to PATH.2 and
 * so on, while this reads.  Nothing is locked: a reader that comes to the end of a file looks where
 * that file stands now, and goes on with the next newer one.  The files of the driver `local` have
 * numbers that stay (logset.h), and are packed meanwhile (logpack.h); PATH.1 and so on may become
 * PATH.1.gz (logrotated.h).  For pool threads. */
#pragma once

#include <sys/stat.h>

#include "buf.h"
#include "engine.h"
#include "logpack.h"

struct log_reader {
    struct log_options options;
    bool framed;   /* each line behind the 8-byte head of a multiplexed stream */
    char *path;    /* owned */
    char *details; /* owned; in front of each line, or NULL */
    bool numbered;

    struct log_file file;
    uint64_t number, last; /* if numbered: of the file, and the greatest when last looked */
    bool positioned;
    bool eof;        /* what is there has been read */
    bool past_until; /* nothing that comes later is wanted */
    struct {
        bool set;        /* when it does not follow */
        int fd;          /* owned; of the newest file then, so that its inode stays its own */
        struct stat st;  /* of that */
        uint64_t number; /* if numbered */
    } end;               /* where the log ended when the reading began */
    int64_t offset;
    struct buf in, out; /* out: what the client gets */
};

void log_reader_done(struct log_reader *r);
/* Append to r->out, about a quarter of a megabyte at the most. */
void log_reader_run(struct log_reader *r);
