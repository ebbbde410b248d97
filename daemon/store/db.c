#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "map.h"
#include "schema.h"
#include "str.h"

/* Room that is kept for the database alone: some hundred state changes and removals, so that a full
 * disk can be emptied again. */
#define RESERVE (1 << 20)

struct db {
    char *path;            /* owned */
    sqlite3 *sql;          /* owned */
    struct map statements; /* SQL text -> sqlite3_stmt *, owned */
    int depth;             /* of nested transactions */
    int log_fd;            /* the log, if it is on ext4 and must be asked after; owned */
};

/* Why a write to the log failed: sqlite3_system_errno() tells what came after it. */
static int log_errno(struct db *db)
{
    sqlite3_file *log = NULL;
    int n = 0;

    if (sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
        log && log->pMethods)
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &n);
    return n > 0 ? n : EIO;
}

/* The disk's fault, as errno; 0 if it is not. */
static int disk_errno(struct db *db, int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_IOERR:
        return log_errno(db);
    default:
        return 0;
    }
}

static int fail(struct db *db, struct err *reterr, const char *what)
{
    int code = sqlite3_extended_errcode(db->sql), errnum = disk_errno(db, code);

    if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
        return err_set(reterr, ERR_CONFLICT, EEXIST, "%s: already exists", what);
    if (errnum != 0)
        return err_sys(reterr, errnum, "cannot write %s", db->path);
    errnum = (code & 0xff) == SQLITE_CONSTRAINT ? EBUSY : EIO;
    return err_set(reterr, ERR_SYSTEM, errnum, "database %s: %s: %s", db->path, what,
                   sqlite3_errmsg(db->sql));
}

/* ext4 that was aborted after an error may go on taking writes to the log, which is open, into the
 * page cache alone (Linux 6.1 does, and statvfs(3) tells nothing); without an fsync nobody is told,
 * and what was promised would be gone.  Asking for room that is there costs a few microseconds. */
static int check_writable(struct db *db, struct err *reterr)
{
    if (db->log_fd >= 0 && fallocate(db->log_fd, FALLOC_FL_KEEP_SIZE, 0, 1) < 0 &&
        (errno == EROFS || errno == EIO))
        return err_sys(reterr, errno, "cannot write %s", db->path);
    return 0;
}

static int exec(struct db *db, const char *sql, struct err *reterr)
{
    return sqlite3_exec(db->sql, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(db, reterr, "exec");
}

static int migrate(struct db *db, struct err *reterr)
{
    sqlite3_stmt *st = db_query(db, "PRAGMA user_version", NULL);
    int version, r;

    r = db_step(db, st, reterr);
    if (r < 0)
        return r;
    version = sqlite3_column_int(st, 0);
    sqlite3_reset(st);
    if (version > schema_version)
        return err_set(reterr, ERR_SYSTEM, ENOTSUP,
                       "database %s has schema %d, this daemon knows %d: it was written by a newer "
                       "version",
                       db->path, version, schema_version);
    for (; version < schema_version; version++) {
        _cleanup_free_ char *bump = xasprintf("PRAGMA user_version=%d", version + 1);

        r = db_begin(db, reterr);
        if (r >= 0)
            r = exec(db, schema_migrations[version], reterr);
        if (r >= 0)
            r = exec(db, bump, reterr);
        if (r >= 0)
            r = db_commit(db, reterr);
        if (r < 0) {
            db_rollback(db);
            return r;
        }
    }
    return 0;
}

/* Blocks behind the end of a file, which are there when it grows into them.  A file system that
 * cannot do that leaves us without.  The database itself must not be open yet: closing any
 * descriptor of it would take SQLite's locks away (fcntl(2)). */
static void reserve(const char *path, const char *suffix)
{
    _cleanup_free_ char *name = xasprintf("%s%s", path, suffix);
    _cleanup_close_ int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

    if (fd >= 0 && end < RESERVE && fallocate(fd, FALLOC_FL_KEEP_SIZE, end, RESERVE - end) < 0)
        log_debug("no reserve for %s: %s", name, err_text(errno));
}

/* SQLite has no locks on its log that closing this could take away. */
static int open_log_of_ext4(const char *path)
{
    _cleanup_free_ char *name = xasprintf("%s-wal", path);
    _cleanup_close_ int fd = open(name, O_WRONLY | O_CLOEXEC);
    struct statfs fs;

    return fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == EXT4_SUPER_MAGIC ? TAKE_FD(fd) : -EBADF;
}

int db_open(const char *path, struct db **ret, struct err *reterr)
{
    _cleanup_(db_closep) struct db *db = xcalloc(1, sizeof(*db));
    int r;

    db->path = xstrdup(path);
    db->log_fd = -EBADF;
    reserve(path, "");
    r = sqlite3_open_v2(path, &db->sql,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_EXRESCODE,
                        NULL);
    if (r != SQLITE_OK)
        return err_set(reterr, ERR_SYSTEM, EIO, "cannot open database %s: %s", path,
                       db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(r));
    sqlite3_busy_timeout(db->sql, 5000);
    r = exec(db,
             "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
             "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY;",
             reterr);
    if (r >= 0)
        r = migrate(db, reterr);
    if (r < 0)
        return r;
    reserve(path, "-wal");
    db->log_fd = open_log_of_ext4(path);
    *ret = TAKE_PTR(db);
    return 0;
}

void db_close(struct db *db)
{
    struct map_entry *e;

    for (size_t i = 0; (e = map_next(&db->statements, &i));)
        sqlite3_finalize(e->value);
    map_done(&db->statements);
    sqlite3_close(db->sql);
    fd_close(db->log_fd);
    free(db->path);
    free(db);
}

int db_checkpoint(const char *path)
{
    sqlite3 *sql = NULL;
    int r = sqlite3_open_v2(path, &sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (r == SQLITE_OK) {
        sqlite3_busy_timeout(sql, 1000);
        r = sqlite3_wal_checkpoint_v2(sql, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    sqlite3_close(sql);
    return r == SQLITE_OK ? 0 : -EIO;
}

int db_begin(struct db *db, struct err *reterr)
{
    if (db->depth == 0) {
        int r = check_writable(db, reterr);

        if (r >= 0)
            r = exec(db, "BEGIN IMMEDIATE", reterr);
        if (r < 0)
            return r;
    }
    db->depth++;
    return 0;
}

int db_commit(struct db *db, struct err *reterr)
{
    int r;

    if (db->depth > 1) {
        db->depth--;
        return 0;
    }
    r = exec(db, "COMMIT", reterr);
    if (r < 0) {
        db_rollback(db);
        if (r == -ENOSPC)
            db_checkpoint(db->path); /* for the next one */
        return r;
    }
    db->depth = 0;
    return 0;
}

void db_rollback(struct db *db)
{
    if (db->depth > 0 && sqlite3_get_autocommit(db->sql) == 0)
        sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
    db->depth = 0;
}

static sqlite3_stmt *prepare(struct db *db, const char *sql)
{
    sqlite3_stmt *st = map_get(&db->statements, sql);

    if (st) {
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        return st;
    }
    if (sqlite3_prepare_v3(db->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK) {
        log_error("database: %s in: %s", sqlite3_errmsg(db->sql), sql);
        abort();
    }
    map_put(&db->statements, sql, st);
    return st;
}

sqlite3_stmt *db_query(struct db *db, const char *sql, const char *fmt, ...)
{
    sqlite3_stmt *st = prepare(db, sql);
    va_list ap;

    va_start(ap, fmt);
    for (int i = 1; fmt && *fmt; i++, fmt++) {
        if (*fmt == 's') {
            sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
        } else if (*fmt == 'i') {
            sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
        } else if (*fmt == 'b') {
            const void *data = va_arg(ap, const void *);

            sqlite3_bind_blob64(st, i, data, va_arg(ap, size_t), SQLITE_STATIC);
        } else {
            abort();
        }
    }
    va_end(ap);
    return st;
}

int db_run(struct db *db, sqlite3_stmt *st, struct err *reterr)
{
    int r = db_step(db, st, reterr);

    sqlite3_reset(st);
    return r < 0 ? r : 0;
}

/* What is in the log goes where it belongs, and the log begins anew in the place it has. */
static bool make_room(struct db *db)
{
    return db->depth == 0 && db_checkpoint(db->path) == 0;
}

int db_step(struct db *db, sqlite3_stmt *st, struct err *reterr)
{
    int code, r;

    if (db->depth == 0 && !sqlite3_stmt_readonly(st)) {
        r = check_writable(db, reterr);
        if (r < 0) {
            sqlite3_reset(st);
            return r;
        }
    }
    code = sqlite3_step(st);
    if ((code & 0xff) == SQLITE_FULL && make_room(db)) {
        sqlite3_reset(st);
        code = sqlite3_step(st);
    }

    if (code == SQLITE_ROW)
        return 1;
    r = code == SQLITE_DONE ? 0 : fail(db, reterr, "query");
    sqlite3_reset(st);
    return r;
}

char *db_column_dup(sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);

    return text ? xstrndup(text, (size_t)sqlite3_column_bytes(st, column)) : NULL;
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes64(db->sql);
}
