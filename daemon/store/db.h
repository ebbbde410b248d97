/* The SQLite database: one connection, owned by the loop thread.
 *
 * WAL with synchronous=NORMAL: a commit costs no fsync on the loop thread; checkpoints run on a
 * connection of their own in the thread pool (db_checkpoint).  Statements are prepared once and
 * kept.  Tables and uniqueness are in schema.c; typed queries in one file per noun.
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"

struct db;

/* Open or create path, migrate to the current schema.  A database of a newer schema is refused. */
int db_open(const char *path, struct db **ret, struct err *reterr);
void db_close(struct db *db);
DEFINE_FREEP(struct db *, db_close)

/* Any thread: copy the WAL back into the database file at path (its own connection). */
int db_checkpoint(const char *path);

/* Transactions nest by counting; the outermost db_commit() commits.  db_rollback() undoes all of
 * it.  db_begin() starts IMMEDIATE. */
int db_begin(struct db *db, struct err *reterr);
int db_commit(struct db *db, struct err *reterr);
void db_rollback(struct db *db);

/* Prepared statement from the cache (sql must be a string literal: it is the key by address and
 * text), reset and unbound.  With fmt: binds the arguments in order: 's' const char * (NULL binds
 * NULL; not copied, must live until the statement is reset), 'i' int64_t, 'b' const void *, size_t.
 * Aborts on a statement that does not compile: that is a programmer's bug. */
sqlite3_stmt *db_query(struct db *db, const char *sql, const char *fmt, ...);

/* Step a statement that returns no rows, reset it.  0, -EEXIST for a UNIQUE/PRIMARY KEY
 * violation, or another negative errno; reterr filled (ERR_CONFLICT or ERR_SYSTEM). */
int db_run(struct db *db, sqlite3_stmt *st, struct err *reterr);

/* Next row: 1, at the end 0 (and reset), or negative errno. */
int db_step(struct db *db, sqlite3_stmt *st, struct err *reterr);

/* Column as a copy (NULL for SQL NULL); caller frees. */
char *db_column_dup(sqlite3_stmt *st, int column);

int64_t db_changes(struct db *db); /* rows changed by the last db_run() */
