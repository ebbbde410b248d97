/* What is written stays in memory for up to half a minute, and the sync at the end would have to
 * wait for all of it: better that the disk works while the rest is still read and hashed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct writeback {
    int64_t begun; /* bytes of the file that are on their way */
};

/* The file's first `end` bytes are written; whole: it has no more.  Never waits for the disk, and
 * files for which it does nothing (sync_file_range(2)) are none the worse. */
void writeback_push(struct writeback *w, int fd, int64_t end, bool whole);
