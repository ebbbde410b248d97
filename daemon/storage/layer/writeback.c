#include "writeback.h"

#include <fcntl.h>

/* Large enough for the file system to place it in one piece. */
#define WRITEBACK_STEP (8LL << 20)
/* Small files are many: each by itself would cost more than it saves. */
#define WRITEBACK_MIN (128LL << 10)

void writeback_push(struct writeback *w, int fd, int64_t end, bool whole)
{
    int64_t len = end - w->begun;

    if (len < (whole ? WRITEBACK_MIN : WRITEBACK_STEP))
        return;
    sync_file_range(fd, w->begun, len, SYNC_FILE_RANGE_WRITE);
    w->begun = end;
}
