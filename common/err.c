#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int err_return(int errnum)
{
    return errnum > 0 ? -errnum : -EINVAL;
}

int err_set(struct err *reterr, enum err_kind kind, int errnum, const char *fmt, ...)
{
    if (reterr) {
        va_list ap;

        reterr->kind = (int32_t)kind;
        reterr->errnum = errnum;
        va_start(ap, fmt);
        vsnprintf(reterr->message, sizeof(reterr->message), fmt, ap);
        va_end(ap);
    }
    return err_return(errnum);
}

int err_sys(struct err *reterr, int errnum, const char *fmt, ...)
{
    if (reterr) {
        va_list ap;
        size_t n;

        reterr->kind = ERR_SYSTEM;
        reterr->errnum = errnum;
        va_start(ap, fmt);
        vsnprintf(reterr->message, sizeof(reterr->message), fmt, ap);
        va_end(ap);
        n = strlen(reterr->message);
        snprintf(reterr->message + n, sizeof(reterr->message) - n, ": %s", strerror(errnum));
    }
    return err_return(errnum);
}

int err_wrap(struct err *reterr, const char *fmt, ...)
{
    char old[ERR_MESSAGE_MAX];
    va_list ap;
    size_t n;

    if (!reterr)
        return -EINVAL;
    memcpy(old, reterr->message, sizeof(old));
    va_start(ap, fmt);
    vsnprintf(reterr->message, sizeof(reterr->message), fmt, ap);
    va_end(ap);
    n = strlen(reterr->message);
    snprintf(reterr->message + n, sizeof(reterr->message) - n, ": %s", old);
    return err_return(reterr->errnum);
}
