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

const char *err_text(int errnum)
{
    static _Thread_local char buf[64];
    const char *s = strerrordesc_np(errnum);
    size_t n = s ? strnlen(s, sizeof(buf) - 1) : 0;

    if (!s)
        return "unknown error";
    memcpy(buf, s, n);
    buf[n] = '\0';
    /* Not an abbreviation like "RFS specific error". */
    if (buf[0] >= 'A' && buf[0] <= 'Z' && !(buf[1] >= 'A' && buf[1] <= 'Z'))
        buf[0] = (char)(buf[0] - 'A' + 'a');
    return buf;
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
        snprintf(reterr->message + n, sizeof(reterr->message) - n, ": %s", err_text(errnum));
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
