#include "journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "events.h"
#include "fd.h"
#include "json.h"
#include "path.h"
#include "str.h"

#define SUFFIX ".jsonl"
#define NAME_MAX_LEN 32

struct journal {
    int dir; /* owned */
    int fd;  /* owned: the last segment, for appending */
    struct journal_pos end;
};

DEFINE_FREEP(struct journal *, journal_close)

static void segment_name(uint64_t n, char ret[NAME_MAX_LEN])
{
    snprintf(ret, NAME_MAX_LEN, "%010llu" SUFFIX, (unsigned long long)n);
}

/* The numbers of the first and last segment that are there; 0: none. */
static int find_segments(int dirfd, uint64_t *ret_first, uint64_t *ret_last)
{
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;

    *ret_first = *ret_last = 0;
    if (!dir) {
        int r = -errno;

        fd_close(copy);
        return r;
    }
    while ((entry = readdir(dir))) {
        char name[NAME_MAX_LEN];
        uint64_t n = strtoull(entry->d_name, NULL, 10);

        segment_name(n, name);
        if (n == 0 || !streq(name, entry->d_name))
            continue;
        if (*ret_first == 0 || n < *ret_first)
            *ret_first = n;
        if (n > *ret_last)
            *ret_last = n;
    }
    closedir(dir);
    return 0;
}

static int open_segment(struct journal *j, uint64_t n)
{
    char name[NAME_MAX_LEN];
    struct stat st;
    int fd;

    segment_name(n, name);
    fd = openat(j->dir, name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        int r = -errno;

        fd_close(fd);
        return r;
    }
    fd_close(j->fd);
    j->fd = fd;
    j->end = (struct journal_pos){.segment = n, .offset = st.st_size};
    return 0;
}

static void drop_old(const struct journal *j)
{
    uint64_t first, last;

    if (find_segments(j->dir, &first, &last) < 0 || first == 0)
        return;
    for (uint64_t n = first; n + JOURNAL_SEGMENTS <= last; n++) {
        char name[NAME_MAX_LEN];

        segment_name(n, name);
        unlinkat(j->dir, name, 0);
    }
}

/* A daemon that was killed, or a full disk, may have left half a line. */
static void end_torn_line(struct journal *j)
{
    char last = '\n';

    if (j->end.offset > 0 && pread(j->fd, &last, 1, j->end.offset - 1) == 1 && last != '\n' &&
        write(j->fd, "\n", 1) == 1)
        j->end.offset++;
}

int journal_open(const char *dir, struct journal **ret, struct err *reterr)
{
    _cleanup_(journal_closep) struct journal *j = xcalloc(1, sizeof(*j));
    uint64_t first, last;
    int r = path_mkdir_p(dir, 0700);

    j->dir = j->fd = -EBADF;
    if (r >= 0) {
        j->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = j->dir < 0 ? -errno : find_segments(j->dir, &first, &last);
    }
    if (r >= 0)
        r = open_segment(j, last == 0 ? 1 : last);
    if (r < 0)
        return err_sys(reterr, -r, "cannot open the journal of events %s", dir);
    end_torn_line(j);
    drop_old(j);
    *ret = TAKE_PTR(j);
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    fd_close(j->fd);
    fd_close(j->dir);
    free(j);
}

struct journal_pos journal_end(const struct journal *j)
{
    return j->end;
}

int journal_append(struct journal *j, const void *data, size_t len, struct journal_pos *ret_end)
{
    int r = 0;

    if (j->end.offset >= JOURNAL_SEGMENT_MAX) {
        r = open_segment(j, j->end.segment + 1);
        if (r >= 0)
            drop_old(j);
    }
    if (r >= 0)
        r = fd_write_all(j->fd, data, len);
    if (r >= 0)
        j->end.offset += (int64_t)len;
    else if (ftruncate(j->fd, j->end.offset) < 0)
        end_torn_line(j); /* cannot be taken back: at least the next line starts on its own */
    *ret_end = j->end;
    return r;
}

/* ---- reading ---- */

/* The time stands last in the lines we write: most lines need no parser to be passed over. */
static bool line_in_time(const char *line, const struct journal_query *q)
{
    const char *key = strstr(line, "\"timeNano\":"), *next;
    int64_t at;

    while (key && (next = strstr(key + 1, "\"timeNano\":")))
        key = next;
    at = key ? strtoll(key + strlen("\"timeNano\":"), NULL, 10) : 0;
    return at >= q->since_ns && (q->until_ns == 0 || at <= q->until_ns);
}

static bool line_matches(const char *line, size_t len, const struct journal_query *q)
{
    _cleanup_json_ json_t *event = NULL;

    if (len > JOURNAL_LINE_MAX || !line_in_time(line, q))
        return false;
    event = json_loadb(line, len, 0, NULL);
    return event && events_match(event, q->filters);
}

/* Nothing was written to it after since_ns. */
static bool segment_is_older(int fd, int64_t since_ns)
{
    struct stat st;

    return fstat(fd, &st) == 0 &&
           st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec < since_ns;
}

/* Lines of one segment up to the offset `until`; *offset moves on.  1: there may be more of them.
 */
static int read_segment(FILE *file, const struct journal_query *q, int64_t *offset, int64_t until,
                        struct buf *out, int64_t *budget)
{
    _cleanup_free_ char *line = NULL;
    size_t room = 0;

    if (fseeko(file, *offset, SEEK_SET) < 0)
        return -errno;
    while (*offset < until) {
        ssize_t n = getline(&line, &room, file);

        if (n <= 0)
            return 0;
        *offset += n;
        *budget -= n;
        if (line_matches(line, (size_t)n, q))
            buf_append(out, line, (size_t)n);
        if (buf_size(out) >= JOURNAL_READ_MAX || *budget <= 0)
            return 1;
    }
    return 0;
}

/* 1: there may be more in it. */
static int read_one(const struct journal *j, const struct journal_query *q, struct journal_pos *pos,
                    struct journal_pos end, struct buf *out, int64_t *budget)
{
    bool last = pos->segment >= end.segment;
    char name[NAME_MAX_LEN];
    FILE *file;
    int fd, r = 0;

    segment_name(pos->segment, name);
    fd = openat(j->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno; /* dropped meanwhile: it was old */
    file = fdopen(fd, "r");
    if (!file) {
        fd_close(fd);
        return -ENOMEM;
    }
    if (last || !segment_is_older(fd, q->since_ns))
        r = read_segment(file, q, &pos->offset, last ? end.offset : INT64_MAX, out, budget);
    fclose(file);
    return r;
}

int journal_read(const struct journal *j, const struct journal_query *q, struct journal_pos *pos,
                 struct journal_pos end, struct buf *out)
{
    int64_t budget = JOURNAL_SCAN_MAX;
    uint64_t first, last;
    int r = find_segments(j->dir, &first, &last);

    if (r < 0)
        return r;
    if (pos->segment < first)
        *pos = (struct journal_pos){.segment = first};
    for (;;) {
        r = read_one(j, q, pos, end, out, &budget);
        if (r != 0)
            return r < 0 ? r : 0;
        if (pos->segment >= end.segment) {
            *pos = end;
            return 0;
        }
        *pos = (struct journal_pos){.segment = pos->segment + 1};
    }
}
