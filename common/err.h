/* Errors a user will read: kind, errno and message in one fixed-size record.
 *
 * Convention of the whole project: a function returns >= 0 on success or a negative errno.  Where
 * a user will read the failure, its last parameter is `struct err *reterr`, owned by the caller,
 * which is filled exactly when the function fails.  Callers add context with err_wrap() on the way
 * up.  The kind becomes an HTTP status in one place (daemon/http/status.c).
 */
#pragma once

#include <stdarg.h>
#include <stdint.h>

enum err_kind {
    ERR_NONE = 0,
    ERR_NOT_MODIFIED,    /* 304: the object is in the wanted state already */
    ERR_INVALID,         /* 400 */
    ERR_UNAUTHORIZED,    /* 401 */
    ERR_FORBIDDEN,       /* 403 */
    ERR_NOT_FOUND,       /* 404 */
    ERR_CONFLICT,        /* 409 */
    ERR_NOT_IMPLEMENTED, /* 501 */
    ERR_UNAVAILABLE,     /* 503 */
    ERR_SYSTEM,          /* 500 */
};

#define ERR_MESSAGE_MAX 1024

/* Crosses the shim's socket as it is, therefore fixed-width members. */
struct err {
    int32_t kind;   /* enum err_kind */
    int32_t errnum; /* positive errno, 0 if none applies */
    char message[ERR_MESSAGE_MAX];
};

/* Fill *reterr (may be NULL) and return -errnum (or -EINVAL if errnum is 0), so that
 * `return err_set(reterr, ...)` reports and fails at once.  Messages are cut at ERR_MESSAGE_MAX. */
int err_set(struct err *reterr, enum err_kind kind, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ERR_SYSTEM with ": err_text(errnum)" appended. */
int err_sys(struct err *reterr, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* An errno in the words that Docker's clients match on, Go's: the C library's English, beginning in
 * lower case.  The thread's own storage, until its next call. */
const char *err_text(int errnum);

/* Prefix the message with "context: "; returns -errnum again. */
int err_wrap(struct err *reterr, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
