#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

size_t text_u64(char out[TEXT_U64_MAX], uint64_t v)
{
    char digits[TEXT_U64_MAX];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    out[n] = '\0';
    return n;
}

int text_join(char *out, size_t size, ...)
{
    size_t len = 0;
    const char *s;
    va_list ap;
    int r = 0;

    va_start(ap, size);
    while ((s = va_arg(ap, const char *))) {
        size_t n = strlen(s);

        if (n >= size - len) {
            r = -ENAMETOOLONG;
            break;
        }
        memcpy(out + len, s, n);
        len += n;
    }
    va_end(ap);
    out[r < 0 ? 0 : len] = '\0';
    return r < 0 ? r : (int)len;
}

int text_proc_path(char *out, size_t size, int64_t pid, const char *name)
{
    char number[TEXT_U64_MAX];

    text_u64(number, (uint64_t)pid);
    return text_join(out, size, "/proc/", number, "/", name, NULL);
}
