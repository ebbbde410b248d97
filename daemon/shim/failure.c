#include "failure.h"

#include <string.h>

#include "mem.h"

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
