/* Reading what registries answer. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "json.h"
#include "remote_impl.h"

#define MESSAGE_MAX 300

static const struct {
    int status;
    const char *code; /* what a body without one means */
    const char *message;
    enum err_kind kind;
    int errnum;
} meanings[] = {
    {400, "INVALID", "bad request", ERR_INVALID, EINVAL},
    {401, "UNAUTHORIZED", "authentication required", ERR_UNAUTHORIZED, EACCES},
    {403, "DENIED", "requested access to the resource is denied", ERR_FORBIDDEN, EPERM},
    {404, "", "not found", ERR_NOT_FOUND, ENOENT},
    {405, "UNSUPPORTED", "the operation is unsupported", ERR_INVALID, ENOTSUP},
    {416, "", "requested range not satisfiable", ERR_INVALID, ERANGE},
    {429, "TOOMANYREQUESTS", "too many requests", ERR_UNAVAILABLE, EBUSY},
};

/* Foreign text for a user's terminal. */
static void copy_text(const char *from, char *to, size_t room)
{
    size_t n = 0;

    for (; *from && n < room - 1; from++)
        to[n++] = (char)((unsigned char)*from < ' ' || *from == 0x7f ? ' ' : *from);
    to[n] = '\0';
}

/* "TOOMANYREQUESTS" stays as it is but for its case; '_' becomes a blank, as Docker shows it. */
static void code_text(const char *code, char ret[64])
{
    size_t i;

    for (i = 0; code[i] && i < 63; i++)
        ret[i] = (char)(code[i] == '_'                     ? ' '
                        : code[i] >= 'A' && code[i] <= 'Z' ? code[i] + 'a' - 'A'
                                                           : code[i]);
    ret[i] = '\0';
}

static bool is_insufficient_scope(const struct web_request *rq)
{
    struct challenge list[CHALLENGES_MAX];
    const char *header = rq ? web_header(rq, "WWW-Authenticate") : NULL;
    size_t n = header ? challenge_parse(header, list) : 0;
    bool found = false;

    for (size_t i = 0; i < n; i++) {
        found = found || (list[i].error && streq(list[i].error, "insufficient_scope"));
        challenge_done(&list[i]);
    }
    return found;
}

/* {"errors":[{code,message}]} of registries; {"details"}, {"message"} of others. */
static void read_body(const char *body, size_t len, char code[64], char message[MESSAGE_MAX])
{
    _cleanup_json_ json_t *doc = json_loadb(body, len, 0, NULL);
    const json_t *first = json_array_get(json_get(doc, "errors"), 0);
    const char *text = json_get_str(first, "message", NULL);

    if (first)
        copy_text(json_get_str(first, "code", ""), code, 64);
    if (!text)
        text = json_get_str(doc, "details", json_get_str(doc, "message", NULL));
    if (text && *text)
        copy_text(text, message, MESSAGE_MAX);
}

void answer_error(int status, const char *body, size_t len, const struct web_request *rq,
                  char *ret_code, struct err *ret)
{
    enum err_kind kind = status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID;
    char message[MESSAGE_MAX] = "", text[64], known[64];
    int errnum = status >= 500 ? EIO : EINVAL;

    ret_code[0] = '\0';
    snprintf(message, sizeof(message), "received unexpected HTTP status: %d", status);
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (meanings[i].status == status) {
            copy_text(meanings[i].code, ret_code, 64);
            copy_text(meanings[i].message, message, sizeof(message));
            kind = meanings[i].kind;
            errnum = meanings[i].errnum;
        }
    }
    copy_text(ret_code, known, sizeof(known));
    read_body(body, len, ret_code, message);
    if (status == 401 && is_insufficient_scope(rq)) {
        copy_text("DENIED", ret_code, 64);
        copy_text("requested access to the resource is denied", message, sizeof(message));
    }
    if (!*ret_code)
        copy_text(known, ret_code, 64);
    code_text(ret_code, text);
    err_set(ret, kind, errnum, "%s%s%s", text, *text ? ": " : "", message);
}

int64_t answer_retry_after(const char *value)
{
    struct tm tm = {0};
    int64_t seconds;
    const char *end;

    if (str_empty(value))
        return -1;
    if (str_parse_i64(value, 0, INT32_MAX, &seconds) >= 0)
        return seconds;
    end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end)
        return -1;
    seconds = timegm(&tm) - time_now_ns() / 1000000000;
    return seconds > 0 ? seconds : 0;
}

char *link_next(const char *value)
{
    while (value && (value = strchr(value, '<'))) {
        const char *end = strchr(value, '>'), *stop;
        _cleanup_free_ char *parameters = NULL;

        if (!end)
            return NULL;
        stop = strchr(end, '<');
        parameters = stop ? xstrndup(end, (size_t)(stop - end)) : xstrdup(end);
        if (strcasestr(parameters, "rel=\"next\"") || strcasestr(parameters, "rel=next"))
            return xstrndup(value + 1, (size_t)(end - value - 1));
        value = end;
    }
    return NULL;
}

int64_t content_range_start(const char *value)
{
    _cleanup_free_ char *number = NULL;
    int64_t start;

    if (!value || strncasecmp(value, "bytes ", 6) != 0)
        return -1;
    value += 6;
    number = xstrndup(value, strcspn(value, "-"));
    return str_parse_i64(number, 0, INT64_MAX, &start) >= 0 ? start : -1;
}
