/* The headers that every answer has, for libmicrohttpd's answers and for our own. */
#include <time.h>

#include "api.h"
#include "req.h"
#include "status.h"

#ifndef CTL_VERSION
#define CTL_VERSION "dev"
#endif

/* The Go client takes the operating system from what is in the parentheses. */
static const struct {
    const char *name, *value;
} common[] = {
    {"Api-Version", API_VERSION},
    {"Ostype", "linux"},
    {"Server", "Docker/" CTL_VERSION " (linux)"},
};

static const char *experimental(const struct http_req *req)
{
    return req->server->experimental ? "true" : "false";
}

void head_decorate(struct MHD_Response *response, const struct http_req *req)
{
    for (size_t i = 0; !req->plain && i < ARRAY_SIZE(common); i++)
        MHD_add_response_header(response, common[i].name, common[i].value);
    if (!req->plain)
        MHD_add_response_header(response, "Docker-Experimental", experimental(req));
    for (size_t i = 0; i < req->n_headers; i++)
        MHD_add_response_header(response, req->headers[i].name, req->headers[i].value);
}

static void append_date(struct buf *out)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday,
               months[tm.tm_mon], 1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void head_begin(struct buf *out, const struct http_req *req, unsigned status, const char *reason,
                const char *content_type)
{
    buf_printf(out, "HTTP/1.1 %u %s\r\n", status, reason);
    for (size_t i = 0; i < ARRAY_SIZE(common); i++)
        buf_printf(out, "%s: %s\r\n", common[i].name, common[i].value);
    buf_printf(out, "Docker-Experimental: %s\r\n", experimental(req));
    for (size_t i = 0; i < req->n_headers; i++)
        buf_printf(out, "%s: %s\r\n", req->headers[i].name, req->headers[i].value);
    append_date(out);
    if (content_type)
        buf_printf(out, "Content-Type: %s\r\n", content_type);
}
