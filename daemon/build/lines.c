#include "lines.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "dockerfile.h"
#include "str.h"

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && isspace((unsigned char)*p))
        p++;
    return p;
}

const char *lines_raw(struct lines *l, size_t *ret_len)
{
    const char *line = l->next, *nl;

    if (line >= l->end)
        return NULL;
    nl = memchr(line, '\n', (size_t)(l->end - line));
    l->next = nl ? nl + 1 : l->end;
    l->number++;
    *ret_len = (size_t)((nl ? nl : l->end) - line);
    if (*ret_len > 0 && line[*ret_len - 1] == '\r')
        --*ret_len;
    return line;
}

/* ---- directives ---- */

static int set_escape(struct lines *l, const char *value, struct err *reterr)
{
    if (!streq(value, "\\") && !streq(value, "`"))
        return err_set(
            reterr, ERR_INVALID, EINVAL,
            "dockerfile parse error line %u: invalid escape token '%s' does not match ` or \\",
            l->number, value);
    l->escape = *value;
    return 0;
}

/* "# name = value": 1 and both, or 0. */
static int split_directive(const char *line, size_t len, char **ret_name, char **ret_value)
{
    const char *end = line + len, *p = skip_blanks(line, end), *name, *name_end;

    if (p == end || *p != '#')
        return 0;
    name = p = skip_blanks(p + 1, end);
    while (p < end && isalnum((unsigned char)*p))
        p++;
    name_end = p;
    p = skip_blanks(p, end);
    if (name == name_end || !isalpha((unsigned char)*name) || p == end || *p != '=')
        return 0;
    p = skip_blanks(p + 1, end);
    while (end > p && isspace((unsigned char)end[-1]))
        end--;
    if (p == end)
        return 0;
    *ret_name = xstrndup(name, (size_t)(name_end - name));
    *ret_value = xstrndup(p, (size_t)(end - p));
    return 1;
}

static int read_directives(struct lines *l, struct err *reterr)
{
    bool escaped = false;
    int r = 0;

    while (r >= 0) {
        _cleanup_free_ char *name = NULL, *value = NULL;
        struct lines before = *l;
        size_t len;
        const char *line = lines_raw(l, &len);

        if (!line || !split_directive(line, len, &name, &value)) {
            *l = before;
            return 0;
        }
        if (strcasecmp(name, "escape") != 0)
            continue; /* syntax, check: for other builders */
        if (escaped)
            return err_set(
                reterr, ERR_INVALID, EINVAL,
                "dockerfile parse error line %u: only one escape parser directive can be used",
                l->number);
        escaped = true;
        r = set_escape(l, value, reterr);
    }
    return r;
}

int lines_init(struct lines *l, const char *text, size_t len, struct err *reterr)
{
    static const char bom[] = "\xef\xbb\xbf";

    if (len > DOCKERFILE_MAX)
        return err_set(reterr, ERR_INVALID, EFBIG, "the Dockerfile is larger than %d bytes",
                       DOCKERFILE_MAX);
    if (memchr(text, 0, len))
        return err_set(reterr, ERR_INVALID, EINVAL, "the Dockerfile holds a NUL byte");
    *l = (struct lines){.next = text, .end = text + len, .escape = '\\'};
    if (len >= strlen(bom) && memcmp(text, bom, strlen(bom)) == 0)
        l->next += strlen(bom);
    return read_directives(l, reterr);
}

/* ---- instructions ---- */

/* Does the line go on?  Cuts the escape off then: one that is escaped itself does not count. */
static bool continues(const struct lines *l, const char *line, size_t *len)
{
    size_t n = *len;

    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    if (n == 0 || line[n - 1] != l->escape || (n > 1 && line[n - 2] == l->escape))
        return false;
    *len = n - 1;
    return true;
}

/* Nothing, or a comment. */
static bool says_nothing(const char *line, size_t len)
{
    const char *end = line + len, *p = skip_blanks(line, end);

    return p == end || *p == '#';
}

int lines_next(struct lines *l, char **ret, unsigned *ret_number, struct err *reterr)
{
    _cleanup_buf_ struct buf out = {0};
    bool more = true, first = true;
    const char *line;
    size_t len;

    while (more && (line = lines_raw(l, &len))) {
        if (says_nothing(line, len))
            continue;
        if (first) {
            const char *p = skip_blanks(line, line + len);

            len -= (size_t)(p - line);
            line = p;
            *ret_number = l->number;
        }
        first = false;
        more = continues(l, line, &len);
        buf_append(&out, line, len);
        if (buf_size(&out) > DOCKERFILE_ARGS_MAX)
            return err_set(reterr, ERR_INVALID, EFBIG,
                           "dockerfile parse error line %u: instruction is longer than %d bytes",
                           *ret_number, DOCKERFILE_ARGS_MAX);
    }
    if (first)
        return 0;
    while (out.len > 0 && isspace((unsigned char)out.data[out.len - 1]))
        out.len--;
    *ret = buf_take_str(&out);
    return 1;
}
