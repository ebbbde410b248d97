#include "url.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json.h"
#include "str.h"

static void append_escaped(struct buf *b, const char *s, const char *also)
{
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-_.~", *s) || strchr(also, *s))
            buf_append(b, s, 1);
        else
            buf_printf(b, "%%%02X", (unsigned char)*s);
    }
}

char *url_format(const char *fmt, ...)
{
    struct buf b = {0};
    va_list ap;

    va_start(ap, fmt);
    for (; *fmt; fmt++) {
        if (fmt[0] == '%' && fmt[1] == 's') {
            append_escaped(&b, va_arg(ap, const char *), "/:@");
            fmt++;
        } else {
            buf_append(&b, fmt, 1);
        }
    }
    va_end(ap);
    return buf_take_str(&b);
}

void url_add(char **url, const char *key, const char *value)
{
    struct buf b = {0};

    if (!value)
        return;
    buf_printf(&b, "%s%c%s=", *url, strchr(*url, '?') ? '&' : '?', key);
    append_escaped(&b, value, "");
    free(*url);
    *url = buf_take_str(&b);
}

void url_add_bool(char **url, const char *key, int on)
{
    if (on)
        url_add(url, key, "1");
}

void url_add_platform(char **url, const char *key, const char *platform)
{
    _cleanup_json_ json_t *o = NULL;
    _cleanup_free_ char *text = NULL, *os = NULL, *arch = NULL;
    const char *rest;

    if (str_empty(platform))
        return;
    rest = strchr(platform, '/');
    os = rest ? xstrndup(platform, (size_t)(rest - platform)) : xstrdup("linux");
    rest = rest ? rest + 1 : platform;
    arch = xstrndup(rest, strcspn(rest, "/"));
    rest += strlen(arch);
    o = json_pack("{s:s, s:s}", "architecture", arch, "os", os);
    if (*rest)
        json_object_set_new(o, "variant", json_string(rest + 1));
    text = json_to_str(o);
    url_add(url, key, text);
}
