#include "failure.h"

#include <string.h>

#include "mem.h"

const char *failure_text(int errnum)
{
    static char buf[64];
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

static void lower_errno(char *message, int errnum)
{
    const char *s = errnum > 0 ? strerrordesc_np(errnum) : NULL;
    size_t n = strlen(message), k = s ? strlen(s) : 0;

    if (k > 0 && n >= k && strcmp(message + n - k, s) == 0)
        memcpy(message + n - k, failure_text(errnum), k);
}

/* dockerd decides by the text, and so do its clients. */
static int code_of(const char *message)
{
    static const struct {
        const char *text;
        int code;
    } table[] = {
        {"executable file not found", 127},
        {"no such file or directory", 127},
        {"permission denied", 126},
        {"is a directory", 126},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (strstr(message, table[i].text))
            return table[i].code;
    }
    return 128;
}

void failure_describe(struct shim_fail *f, const struct err *e)
{
    *f = (struct shim_fail){.errnum = e->errnum};
    memcpy(f->message, e->message, strnlen(e->message, sizeof(f->message) - 1));
    lower_errno(f->message, e->errnum);
    f->code = code_of(f->message);
}

bool failure_is_user(const struct shim_fail *f)
{
    static const char *const starts[] = {"unable to find ", "Unable to find ", "uids and gids "};

    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        if (str_starts(f->message, starts[i]))
            return true;
    }
    return false;
}
