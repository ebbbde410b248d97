#include "weburl.h"

#include <ctype.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "str.h"

#define SCHEME_END "://"

/* Behind the user and password of an authority that ends at one of `stops`; RFC 3986, 3.2.1, but by
 * the last '@' as libcurl and Go read it. */
static const char *skip_user(const char *authority, const char *stops)
{
    size_t n = strcspn(authority, stops);
    const char *at = memrchr(authority, '@', n);

    return at ? at + 1 : authority;
}

char *weburl_show(const char *url)
{
    const char *authority = strstr(url, SCHEME_END), *host;
    size_t scheme, end = strcspn(url, "?#");

    /* What looks like one behind the path's beginning is part of the path. */
    if (authority && authority < url + strcspn(url, "/?#") + 1)
        authority += strlen(SCHEME_END);
    else
        authority = url;
    scheme = (size_t)(authority - url);
    host = skip_user(authority, "/?#");
    return xasprintf("%.*s%.*s", (int)scheme, url, (int)(url + end - host), host);
}

char *weburl_redact(const char *text)
{
    _cleanup_buf_ struct buf out = {0};
    const char *found;

    while ((found = strstr(text, SCHEME_END))) {
        const char *authority = found + strlen(SCHEME_END);

        buf_append(&out, text, (size_t)(authority - text));
        text = found > text && isalnum((unsigned char)found[-1])
                   ? skip_user(authority, "/?# \t\r\n")
                   : authority;
    }
    buf_append_str(&out, text);
    return buf_take_str(&out);
}
