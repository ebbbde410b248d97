#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "str.h"

static bool header_is(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);

    return len > n && line[n] == ':' && strncasecmp(line, name, n) == 0;
}

static void header_value(const char *line, size_t len, char *ret, size_t room)
{
    const char *v = memchr(line, ':', len), *end = line + len;
    size_t n;

    for (v++; v < end && (*v == ' ' || *v == '\t');)
        v++;
    while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    n = (size_t)(end - v) < room - 1 ? (size_t)(end - v) : room - 1;
    memcpy(ret, v, n);
    ret[n] = '\0';
}

static int parse_header(const char *line, size_t len, struct http_head *h)
{
    char value[96];

    if (!memchr(line, ':', len) || memchr(line, '\0', len))
        return -EBADMSG;
    header_value(line, len, value, sizeof(value));
    if (header_is(line, len, "Content-Length"))
        return str_parse_i64(value, 0, INT64_MAX, &h->content_length) < 0 ? -EBADMSG : 0;
    if (header_is(line, len, "Transfer-Encoding")) {
        if (strcasecmp(value, "chunked") != 0)
            return -EBADMSG;
        h->chunked = true;
    } else if (header_is(line, len, "Connection")) {
        h->close = strcasecmp(value, "close") == 0;
    } else if (header_is(line, len, "Content-Type")) {
        size_t n = strcspn(value, "; ");

        for (size_t i = 0; i < n; i++)
            h->content_type[i] = (char)tolower((unsigned char)value[i]);
        h->content_type[n] = '\0';
    }
    return 0;
}

static int parse_status(const char *line, size_t len, struct http_head *h)
{
    if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
        return -EBADMSG;
    h->status = 0;
    for (int i = 9; i < 12; i++) {
        if (!isdigit((unsigned char)line[i]))
            return -EBADMSG;
        h->status = h->status * 10 + (line[i] - '0');
    }
    h->close = line[7] == '0';
    return h->status >= 100 ? 0 : -EBADMSG;
}

int http_head_parse(const char *data, size_t len, struct http_head *ret)
{
    struct http_head h = {.content_length = -1};
    const char *p = data, *end = data + len;

    for (int line = 0;; line++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n;
        int r;

        if (!nl)
            return len >= HTTP_HEAD_MAX ? -EMSGSIZE : 0;
        if (nl - data >= HTTP_HEAD_MAX)
            return -EMSGSIZE;
        n = (size_t)(nl - p);
        if (n > 0 && p[n - 1] == '\r')
            n--;
        if (n == 0 && line > 0)
            break;
        r = line == 0 ? parse_status(p, n, &h) : parse_header(p, n, &h);
        if (r < 0)
            return r;
        p = nl + 1;
    }
    *ret = h;
    return (int)((const char *)memchr(p, '\n', (size_t)(end - p)) + 1 - data);
}

char *http_head_value(const char *data, size_t len, const char *name)
{
    const char *nl;

    while ((nl = memchr(data, '\n', len))) {
        size_t n = (size_t)(nl - data) + 1, line = n - (n > 1 && nl[-1] == '\r' ? 2 : 1);

        if (header_is(data, line, name)) {
            char *value = xmalloc(line + 1);

            header_value(data, line, value, line + 1);
            return value;
        }
        data += n;
        len -= n;
    }
    return NULL;
}

void http_body_init(struct http_body *b, const struct http_head *head, bool no_body)
{
    *b = (struct http_body){.state = BODY_UNTIL_CLOSE};
    if (no_body || head->status == 204 || head->status == 304) {
        b->state = BODY_DONE;
    } else if (head->chunked) {
        b->chunked = true;
        b->state = BODY_CHUNK_SIZE;
    } else if (head->content_length >= 0) {
        b->left = (uint64_t)head->content_length;
        b->state = b->left ? BODY_DATA : BODY_DONE;
    }
}

/* Take one line off in: 1 with its length without line end, 0 if incomplete. */
static int take_line(struct buf *in, char *ret, size_t room, size_t *ret_len)
{
    const char *p = buf_head(in), *nl = buf_size(in) ? memchr(p, '\n', buf_size(in)) : NULL;
    size_t n;

    if (!nl)
        return buf_size(in) >= HTTP_CHUNK_LINE_MAX ? -EBADMSG : 0;
    n = (size_t)(nl - p);
    if (n >= room)
        return -EBADMSG;
    memcpy(ret, p, n);
    if (n > 0 && ret[n - 1] == '\r')
        n--;
    ret[n] = '\0';
    *ret_len = n;
    buf_consume(in, (size_t)(nl - p) + 1);
    return 1;
}

static int chunk_size(const char *line, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i;

    for (i = 0; isxdigit((unsigned char)line[i]); i++) {
        int c = tolower((unsigned char)line[i]);

        if (v >> 59)
            return -EBADMSG;
        v = v * 16 + (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (i == 0 || (line[i] && line[i] != ';' && line[i] != ' '))
        return -EBADMSG;
    *ret = v;
    return 0;
}

static int chunk_line(struct http_body *b, struct buf *in)
{
    char line[HTTP_CHUNK_LINE_MAX];
    size_t len;
    int r = take_line(in, line, sizeof(line), &len);

    if (r <= 0)
        return r;
    if (b->state == BODY_CHUNK_END) {
        b->state = BODY_CHUNK_SIZE;
        return len == 0 ? 1 : -EBADMSG;
    }
    if (b->state == BODY_TRAILER) {
        if (len == 0)
            b->state = BODY_DONE;
        return 1;
    }
    if (chunk_size(line, &b->left) < 0)
        return -EBADMSG;
    b->state = b->left ? BODY_DATA : BODY_TRAILER;
    return 1;
}

int http_body_decode(struct http_body *b, struct buf *in, struct buf *out)
{
    while (b->state != BODY_DONE) {
        size_t n = buf_size(in);
        int r;

        if (b->state == BODY_DATA || b->state == BODY_UNTIL_CLOSE) {
            if (n == 0)
                return 0;
            if (b->state == BODY_DATA && n > b->left)
                n = (size_t)b->left;
            buf_append(out, buf_head(in), n);
            buf_consume(in, n);
            if (b->state == BODY_UNTIL_CLOSE)
                return 0;
            b->left -= n;
            if (b->left == 0)
                b->state = b->chunked ? BODY_CHUNK_END : BODY_DONE;
            continue;
        }
        r = chunk_line(b, in);
        if (r <= 0)
            return r;
    }
    return 1;
}

int http_body_eof(const struct http_body *b)
{
    return b->state == BODY_DONE || b->state == BODY_UNTIL_CLOSE ? 0 : -EPIPE;
}
