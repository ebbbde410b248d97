#include "logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "jsonlog.h"
#include "plan.h"
#include "text.h"

#define OUT_SIZE (256u << 10)

static struct {
    int fd;
    const struct plan_op *op;
    uint64_t size;    /* of the file as written so far */
    uint64_t dropped; /* bytes of records */
    size_t used;      /* of out */
    uint64_t number;  /* of the file if they have one, else 0 */
    bool moved_on;
} lf = {.fd = -EBADF};

static struct jsonlog_stream streams[2];
static char out[OUT_SIZE] __attribute__((aligned(4096)));

static int numbered(char *path, uint64_t n)
{
    char number[TEXT_U64_MAX];

    text_u64(number, n);
    return text_join(path, PATH_MAX, plan_str(lf.op, 0), n ? "." : NULL, number, NULL);
}

static int open_file(void)
{
    /* O_NONBLOCK: nobody need read a FIFO that somebody put there. */
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    char path[PATH_MAX];
    struct stat st;

    if (numbered(path, lf.number) < 0)
        return -ENAMETOOLONG;
    lf.fd = open(path, flags, 0640);
    if (lf.fd < 0)
        return -errno;
    if (fstat(lf.fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode)) {
        lf.fd = fd_close(lf.fd);
        return -EINVAL;
    }
    lf.size = (uint64_t)st.st_size;
    return 0;
}

int logfile_open(const void *plan, struct err *reterr)
{
    int r;

    lf.op = plan_find(plan, NULL, PLAN_LOG);
    lf.number = lf.op ? lf.op->arg[2] : 0;
    r = lf.op ? open_file() : 0;
    return r < 0 ? err_sys(reterr, -r, "cannot open the log %s", plan_str(lf.op, 0)) : 0;
}

void logfile_replan(const void *plan)
{
    lf.op = plan_find(plan, NULL, PLAN_LOG);
}

/* Take back the last bytes; the file may have been emptied by hand since, which makes room as well.
 */
static void take_back(size_t len)
{
    struct stat st;

    if (fstat(lf.fd, &st) == 0 && st.st_size >= (off_t)len &&
        ftruncate(lf.fd, st.st_size - (off_t)len) < 0)
        lf.size += len;
}

/* A record is in the file whole or not at all: what a full disk cut off is taken back. */
static void write_out(void)
{
    size_t done = 0;

    while (done < lf.used && lf.fd >= 0) {
        ssize_t n = write(lf.fd, out + done, lf.used - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done < lf.used) {
        lf.dropped += lf.used;
        if (done > 0)
            take_back(done);
    } else {
        lf.size += done;
    }
    lf.used = 0;
}

/* The name of an older one that the daemon has packed. */
static int packed(char *path, uint64_t n)
{
    char plain[PATH_MAX];

    return numbered(plain, n) < 0 ? -ENAMETOOLONG : text_join(path, PATH_MAX, plain, ".gz", NULL);
}

static void move(uint64_t n, int name_of(char *path, uint64_t n))
{
    char from[PATH_MAX], to[PATH_MAX];

    if (name_of(to, n) >= 0 && name_of(from, n - 1) >= 0)
        rename(from, to);
}

/* Of the last one both, as one may be packed that takes the place of one that is not. */
static void drop(uint64_t n)
{
    char path[PATH_MAX];

    if (numbered(path, n) >= 0)
        unlink(path);
    if (packed(path, n) >= 0)
        unlink(path);
}

/* path.(n-1) -> path.n ... path -> path.1, as Docker names them. */
static void rename_all(void)
{
    bool packs = lf.op->arg[3] && lf.op->arg[1] > 1;

    if (lf.op->arg[1] <= 1 && truncate(plan_str(lf.op, 0), 0) < 0)
        lf.dropped++;
    if (packs)
        drop(lf.op->arg[1] - 1);
    for (uint64_t n = lf.op->arg[1]; n > 1; n--) {
        move(n - 1, numbered);
        if (packs && n > 2)
            move(n - 1, packed);
    }
    lf.moved_on = packs;
}

/* Too old is what one file more would be too many with. */
static void next_number(void)
{
    char old[PATH_MAX];

    lf.number++;
    lf.moved_on = true;
    if (lf.number > lf.op->arg[1] && numbered(old, lf.number - lf.op->arg[1]) >= 0)
        unlink(old);
}

/* The daemon gives a packed file its name, which takes no time: this one goes on growing. */
static bool is_locked(void)
{
    return lf.op->arg[3] && lf.fd >= 0 && flock(lf.fd, LOCK_EX | LOCK_NB) < 0 &&
           errno == EWOULDBLOCK;
}

static void rotate(void)
{
    if (is_locked())
        return;
    if (lf.number > 0)
        next_number();
    else
        rename_all();
    lf.fd = fd_close(lf.fd); /* and its lock */
    open_file();
}

static void room_for_record(void)
{
    uint64_t max = lf.op->arg[0];

    if (max && lf.size + lf.used >= max) {
        write_out();
        rotate();
    }
    if (OUT_SIZE - lf.used < JSONLOG_RECORD_MAX)
        write_out();
}

static void make_tail(struct jsonlog_tail *t, enum logfile_stream stream)
{
    jsonlog_tail(t, stream == LOGFILE_STDERR ? "stderr" : "stdout", clock_real_ns());
}

void logfile_write(enum logfile_stream stream, const char *data, size_t len)
{
    struct jsonlog_tail tail;

    if (!lf.op)
        return;
    if (lf.fd < 0)
        open_file();
    make_tail(&tail, stream);
    while (len > 0) {
        room_for_record();
        lf.used += jsonlog_next(&streams[stream], &tail, &data, &len, out + lf.used);
    }
    write_out();
}

void logfile_flush(void)
{
    for (int i = LOGFILE_STDOUT; lf.op && i <= LOGFILE_STDERR; i++) {
        struct jsonlog_tail tail;

        if (streams[i].len == 0)
            continue;
        make_tail(&tail, (enum logfile_stream)i);
        room_for_record();
        lf.used += jsonlog_flush(&streams[i], &tail, out + lf.used);
    }
    if (lf.op)
        write_out();
}

void logfile_trim(void)
{
    madvise(out, sizeof(out), MADV_DONTNEED);
}

uint64_t logfile_dropped(void)
{
    return lf.dropped;
}

bool logfile_moved_on(void)
{
    bool moved = lf.moved_on;

    lf.moved_on = false;
    return moved;
}
