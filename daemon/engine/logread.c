#include "logread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "loggzip.h"
#include "logline.h"
#include "logset.h"
#include "str.h"

#define READ_CHUNK (256 * 1024)
/* A line of the file holds 16 KiB of text, escaped at most sixfold, and its fixed parts. */
#define LINE_MAX_BYTES (128 * 1024)
#define TAIL_BLOCK (64 * 1024)
/* A rotation under way is a few renames. */
#define RENAME_TRIES 200
#define NS_PER_S INT64_C(1000000000)

void log_reader_done(struct log_reader *r)
{
    log_file_done(&r->file);
    if (r->end.set)
        fd_close(r->end.fd);
    buf_done(&r->in);
    buf_done(&r->out);
    free(TAKE_PTR(r->path));
    free(TAKE_PTR(r->details));
}

/* ---- lines ---- */

static void emit(struct log_reader *r, const struct log_line *l)
{
    size_t head = r->out.len;

    if (r->framed)
        buf_append(&r->out, "\0\0\0\0\0\0\0\0", 8);
    if (r->options.timestamps) {
        log_line_timestamp(l, &r->out);
        buf_append(&r->out, " ", 1);
    }
    if (r->details)
        buf_append_str(&r->out, r->details);
    log_line_text(l, &r->out);
    if (r->framed) {
        uint32_t n = (uint32_t)(r->out.len - head - 8);
        uint8_t frame[8] = {
            l->is_stderr ? 2 : 1, 0,         0, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
            (uint8_t)(n >> 8),    (uint8_t)n};

        memcpy(r->out.data + head, frame, sizeof(frame));
    }
}

static void take_line(struct log_reader *r, const char *line, size_t len)
{
    struct log_line l;

    if (log_line_parse(line, len, &l) < 0)
        return;
    if (!(l.is_stderr ? r->options.stderr_ : r->options.stdout_))
        return;
    if (r->options.since_ns > 0 || r->options.until_ns > 0) {
        int64_t t = log_line_time(&l);

        if (t < r->options.since_ns)
            return;
        if (r->options.until_ns > 0 && t > r->options.until_ns) {
            r->past_until = true;
            return;
        }
    }
    emit(r, &l);
}

static void take_lines(struct log_reader *r)
{
    const char *p = buf_head(&r->in), *end = p + buf_size(&r->in), *nl;

    /* out is filled from the start: nothing is consumed from it until it is handed over. */
    while (p < end && !r->past_until && (nl = memchr(p, '\n', (size_t)(end - p)))) {
        take_line(r, p, (size_t)(nl - p));
        p = nl + 1;
    }
    buf_consume(&r->in, (size_t)(p - buf_head(&r->in)));
    if (buf_size(&r->in) > LINE_MAX_BYTES)
        buf_consume(&r->in, buf_size(&r->in)); /* not a line of ours */
}

/* Bytes read, 0 at the end of this file. */
static ssize_t read_chunk(struct log_reader *r)
{
    ssize_t n = log_file_read(&r->file, buf_reserve(&r->in, READ_CHUNK), READ_CHUNK, r->offset);

    if (n <= 0)
        return 0;
    r->in.len += (size_t)n;
    r->offset += n;
    take_lines(r);
    return n;
}

/* ---- files ---- */

/* i: 0 for the one that is written, 1 for the one before... */
static char *name_of(const struct log_reader *r, unsigned i)
{
    if (r->numbered)
        return xasprintf("%s.%llu", r->path, (unsigned long long)r->last - i);
    return i == 0 ? xstrdup(r->path) : xasprintf("%s.%u", r->path, i);
}

/* O_NONBLOCK: nobody need write to a FIFO that somebody put there. */
static int open_name(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    return fd < 0 ? -errno : fd;
}

static int open_packed(const char *name)
{
    _cleanup_free_ char *packed = xasprintf("%s.gz", name);

    return open_name(packed);
}

/* A file that is being packed has both names for a moment, and never none. */
static int open_nth(const struct log_reader *r, unsigned i)
{
    _cleanup_free_ char *name = name_of(r, i);
    int fd = open_name(name);

    return fd == -ENOENT && i > 0 && !r->numbered ? open_packed(name) : fd;
}

/* Was the file that r has open packed into this one?  As it is open, nobody else has its number. */
static bool is_made_of(int fd, const struct stat *file)
{
    char head[GZIP_HEAD];
    struct gzip_member m;

    return pread(fd, head, sizeof(head), 0) == GZIP_HEAD && gzip_parse(head, &m) >= 0 &&
           m.origin == file->st_ino;
}

static bool is_same_file(int fd, const struct stat *file)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
}

static bool is_nth(const struct log_reader *r, const struct stat *file, unsigned i)
{
    _cleanup_close_ int fd = open_nth(r, i);

    if (fd < 0)
        return false;
    if (is_same_file(fd, file))
        return true;
    return !r->file.index && i > 0 && !r->numbered && is_made_of(fd, file);
}

static bool is_there(const struct log_reader *r, unsigned i)
{
    _cleanup_free_ char *name = name_of(r, i), *packed = xasprintf("%s.gz", name);

    return access(name, F_OK) == 0 || access(packed, F_OK) == 0;
}

/* How many there are; one of them may be missing for a moment. */
static unsigned count_files(const struct log_reader *r)
{
    unsigned n = 1;
    uint64_t first, last;

    if (r->numbered)
        return log_set_numbers(r->path, &first, &last) < 0 || first > r->last ? 0
               : r->last - first < LOG_SET_MAX ? (unsigned)(r->last - first) + 1
                                               : LOG_SET_MAX;
    for (unsigned missing = 0; n < LOG_SET_MAX && missing < 2; n++) {
        missing = is_there(r, n) ? 0 : missing + 1;
        if (missing == 2)
            n -= 2;
    }
    return n;
}

/* The place of an open file in the row, -ENOENT: it is not there any more.  Files move up, and the
 * row may have become longer meanwhile. */
static int place_of(const struct log_reader *r, const struct stat *file)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n || i < (n = count_files(r)); i++) {
        if (is_nth(r, file, i))
            return (int)i;
    }
    return -ENOENT;
}

/* Go on in file i, open as fd; a broken one counts as empty. */
static void use(struct log_reader *r, int fd, unsigned i)
{
    int n = log_file_use(&r->file, fd);

    if (n < 0)
        log_warn("%s: a packed file is not whole", r->path);
    r->number = r->last - i;
    r->offset = 0;
    buf_consume(&r->in, buf_size(&r->in));
}

static void wait_for_rename(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* The oldest one there is and its place; -ENOENT. */
static int open_oldest(struct log_reader *r, unsigned *ret_place)
{
    uint64_t first;

    if (r->numbered && log_set_numbers(r->path, &first, &r->last) < 0)
        return -ENOENT;
    for (int tries = 1;; tries++) {
        unsigned n = count_files(r);
        int fd = -ENOENT;

        while (fd < 0 && n > 0)
            fd = open_nth(r, --n);
        *ret_place = n;
        /* If the oldest has moved up between the look and the opening, this is another one; one
         * that cannot be opened stays where it is. */
        if (fd < 0 || r->numbered || tries == RENAME_TRIES || !is_there(r, n + 1))
            return fd;
        fd_close(fd);
    }
}

/* Sets r->file to it. */
static int use_oldest(struct log_reader *r)
{
    unsigned place;
    int fd = open_oldest(r, &place);

    if (fd >= 0)
        use(r, fd, place);
    return fd < 0 ? fd : 0;
}

/* What was written between our last look and the rotation. */
static void read_rest(struct log_reader *r)
{
    while (read_chunk(r) > 0)
        ;
}

/* ---- the end ---- */

static bool may_be_end(const struct log_reader *r, int fd)
{
    return is_same_file(fd, &r->end.st) || is_made_of(fd, &r->end.st);
}

/* The file that was the newest, by the name that it has now; -ENOENT: it is gone.  Others that were
 * packed may have had its inode number before it, and are older. */
static int open_end(const struct log_reader *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n || i < (n = count_files(r)); i++) {
        _cleanup_close_ int fd = open_nth(r, i);

        if (fd >= 0 && may_be_end(r, fd))
            return TAKE_FD(fd);
    }
    return -ENOENT;
}

static bool is_end_there(const struct log_reader *r)
{
    _cleanup_close_ int fd = open_end(r);

    return fd >= 0;
}

static bool is_end_file(const struct log_reader *r)
{
    _cleanup_close_ int fd = -EBADF;
    struct stat st;

    if (is_same_file(r->file.fd, &r->end.st))
        return true;
    if (!is_made_of(r->file.fd, &r->end.st))
        return false;
    fd = open_end(r);
    return fd < 0 || (fstat(fd, &st) == 0 && is_same_file(r->file.fd, &st));
}

static bool is_at_end(const struct log_reader *r)
{
    if (!r->end.set)
        return false;
    if (r->numbered)
        return r->number > r->end.number ||
               (r->number == r->end.number && r->offset >= r->end.st.st_size);
    return r->offset >= r->end.st.st_size && is_end_file(r);
}

/* At the end of a file that may have been renamed: 1 if there is a newer one, 0 if not, -EAGAIN: it
 * is being renamed. */
static int go_on_renamed(struct log_reader *r, const struct stat *file)
{
    int at = is_nth(r, file, 0) ? 0 : place_of(r, file), fd;

    if (at == 0)
        return 0;
    if (at < 0) {
        read_rest(r);
        return use_oldest(r) >= 0 && (!r->end.set || is_end_there(r));
    }
    fd = open_nth(r, (unsigned)at - 1);
    if (fd == -ENOENT || (fd >= 0 && !is_nth(r, file, (unsigned)at))) {
        fd_close(fd);
        return -EAGAIN;
    }
    if (fd < 0)
        return 0;
    read_rest(r);
    use(r, fd, (unsigned)at - 1);
    return 1;
}

static bool go_on_numbered(struct log_reader *r)
{
    uint64_t first, number = r->number;

    if (log_set_numbers(r->path, &first, &r->last) < 0 || r->last <= number)
        return false;
    read_rest(r);
    for (number = first > number ? first : number + 1; number <= r->last; number++) {
        int fd = open_nth(r, (unsigned)(r->last - number));

        if (fd >= 0) {
            use(r, fd, (unsigned)(r->last - number));
            return true;
        }
    }
    return false;
}

/* At the end of a file: true if there is more, in it or in the next. */
static bool go_on(struct log_reader *r)
{
    struct stat st;
    int more = -EAGAIN;

    if (r->numbered)
        return go_on_numbered(r);
    if (fstat(r->file.fd, &st) < 0)
        return false;
    if (!r->file.index && st.st_size < r->offset) { /* the only file, emptied when it was full */
        r->offset = 0;
        return st.st_size > 0 && !r->end.set;
    }
    for (int i = 0; i < RENAME_TRIES && more == -EAGAIN; i++) {
        if (i > 0)
            wait_for_rename();
        more = go_on_renamed(r, &st);
    }
    return more > 0;
}

/* ---- where to begin ---- */

/* Offset behind the newline that precedes the last *n lines, less what *n says afterwards is still
 * missing. */
static int64_t find_tail(struct log_file *f, int64_t *n)
{
    _cleanup_free_ char *block = xmalloc(TAIL_BLOCK);
    int64_t size = log_file_size(f), end;

    if (*n == 0)
        return size;
    for (end = size; end > 0;) {
        int64_t start = end > TAIL_BLOCK ? end - TAIL_BLOCK : 0;
        ssize_t got = log_file_read(f, block, (size_t)(end - start), start);

        if (got <= 0)
            break;
        for (ssize_t i = got; i-- > 0;) {
            if (block[i] != '\n' || start + i + 1 == size)
                continue;
            if (--*n == 0)
                return start + i + 1;
        }
        end = start;
    }
    if (size > 0)
        --*n; /* the first line has no newline before it */
    return 0;
}

/* While the first is renamed there is none of its name; or there is none yet. */
static int open_newest(const struct log_reader *r, unsigned *ret_place)
{
    int fd = open_nth(r, *ret_place = 0);

    return fd < 0 ? open_nth(r, *ret_place = 1) : fd;
}

/* The one before the file that is open as *place, which may have moved up meanwhile. */
static int open_before(const struct log_reader *r, unsigned *place)
{
    struct stat st;

    if (r->numbered)
        return open_nth(r, ++*place);
    if (fstat(r->file.fd, &st) < 0)
        return -errno;
    for (int i = 0; i < RENAME_TRIES; i++) {
        int at = is_nth(r, &st, *place) ? (int)*place : place_of(r, &st);
        int fd = at < 0 ? at : open_nth(r, (unsigned)at + 1);
        /* It has moved up already, and this one has not. */
        bool hole = fd == -ENOENT && at >= 0 && is_there(r, (unsigned)at + 2);

        *place = (unsigned)at + 1;
        if (at < 0 || (!hole && is_nth(r, &st, (unsigned)at)))
            return fd;
        fd_close(fd);
        wait_for_rename();
    }
    return -EAGAIN;
}

static void begin_at_tail(struct log_reader *r)
{
    int64_t left = r->options.tail;
    unsigned place;
    uint64_t first;
    int fd;

    if (r->numbered && log_set_numbers(r->path, &first, &r->last) < 0)
        return;
    fd = open_newest(r, &place);
    while (fd >= 0) {
        use(r, fd, place);
        r->offset = find_tail(&r->file, &left);
        fd = left == 0 || place + 1 >= LOG_SET_MAX ? -ENOENT : open_before(r, &place);
    }
}

/* Time of the first line that begins behind offset, and where that is; -ENOENT if there is none. */
static int64_t time_behind(struct log_file *f, int64_t *offset, char *block)
{
    ssize_t got = log_file_read(f, block, LINE_MAX_BYTES * 2, *offset);
    const char *nl = got > 0 ? memchr(block, '\n', (size_t)got) : NULL, *end;
    struct log_line l;
    int64_t t;

    if (!nl)
        return -ENOENT;
    end = memchr(nl + 1, '\n', (size_t)(block + got - nl - 1));
    if (!end || log_line_parse(nl + 1, (size_t)(end - nl - 1), &l) < 0)
        return -ENOENT;
    t = log_line_time(&l);
    *offset += nl + 1 - block;
    return t > 0 ? t : -ENOENT;
}

/* Lines stand in the order of their times: by halves, to the block where since is. */
static int64_t find_since(struct log_file *f, int64_t since)
{
    _cleanup_free_ char *block = xmalloc(LINE_MAX_BYTES * 2);
    int64_t low = 0, high = log_file_size(f);

    while (high - low > READ_CHUNK) {
        int64_t middle = low + (high - low) / 2, at = middle, t = time_behind(f, &at, block);

        if (t >= 0 && t < since && at < high)
            low = at;
        else
            high = middle;
    }
    return low;
}

static bool is_older(int fd, int64_t since)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec < since;
}

/* The first that is not older than that, and its place; -EAGAIN: they were renamed meanwhile. */
static int open_since(struct log_reader *r, int64_t since, unsigned *ret_place)
{
    int fd = open_oldest(r, ret_place);

    while (fd >= 0 && *ret_place > 0 && since > 0 && is_older(fd, since)) {
        int next = open_nth(r, *ret_place - 1);
        struct stat st;
        bool moved = next < 0 || fstat(fd, &st) < 0 || !is_nth(r, &st, *ret_place);

        fd_close(fd);
        if (moved) {
            if (next >= 0)
                fd_close(next);
            return -EAGAIN;
        }
        fd = next;
        --*ret_place;
    }
    return fd;
}

static void begin_at_since(struct log_reader *r)
{
    int64_t since = r->options.since_ns;
    unsigned place;
    int fd = -EAGAIN;

    for (int i = 0; i < RENAME_TRIES && fd == -EAGAIN; i++) {
        if (i > 0)
            wait_for_rename();
        fd = open_since(r, since, &place);
    }
    if (fd < 0)
        return;
    use(r, fd, place);
    if (since > 0)
        r->offset = find_since(&r->file, since);
}

/* Who neither follows nor catches up gets what is there now: one that reads slower than the
 * container writes would never come to an end. */
static void set_end(struct log_reader *r)
{
    unsigned place;
    _cleanup_close_ int fd = open_newest(r, &place);

    if (fd < 0 || fstat(fd, &r->end.st) < 0)
        return;
    r->end.set = true;
    r->end.number = r->last - place;
    r->end.fd = TAKE_FD(fd);
}

static bool begin(struct log_reader *r)
{
    if (!r->positioned) {
        if (r->options.tail >= 0)
            begin_at_tail(r);
        else
            begin_at_since(r);
        if (!r->options.follow && !r->options.catch_up)
            set_end(r);
    } else if (r->file.fd < 0) {
        use_oldest(r);
    }
    r->positioned = true;
    return r->file.fd >= 0;
}

void log_reader_run(struct log_reader *r)
{
    r->eof = !begin(r);
    while (!r->eof && !r->past_until && r->out.len < READ_CHUNK) {
        if (is_at_end(r))
            r->eof = true;
        else if (read_chunk(r) == 0)
            r->eof = !go_on(r);
    }
}
