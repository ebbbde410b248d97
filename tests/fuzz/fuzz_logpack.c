/* Packed logs: any bytes are read without harm, and no further than they say they are long. */
#include <fcntl.h>
#include <sys/mman.h>

#include "fd.h"
#include "fuzz.h"
#include "logpack.h"

#define PIECE 70000

static char piece[PIECE];

static void read_all(struct log_file *f)
{
    int64_t size = log_file_size(f), at = 0;
    ssize_t n;

    promise(size >= 0);
    while ((n = log_file_read(f, piece, PIECE, at)) > 0)
        at += n;
    promise(at <= size);
    promise(log_file_read(f, piece, PIECE, size) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log_file f = LOG_FILE_INIT;
    int fd = memfd_create("log", MFD_CLOEXEC);

    promise(fd >= 0 && fd_write_all(fd, data, size) == 0);
    if (log_file_use(&f, fd) < 0)
        promise(log_file_size(&f) == 0);
    read_all(&f);
    log_file_done(&f);
    return 0;
}
