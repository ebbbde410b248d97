/* Lines of json-file logs: any are read without harm, and those that the shim writes give back what
 * went in. */
#include <jansson.h>

#include "fuzz.h"
#include "jsonlog.h"
#include "logline.h"

static struct jsonlog_stream stream;
static char record[JSONLOG_RECORD_MAX];

static void read_line(const char *line, size_t len)
{
    _cleanup_buf_ struct buf text = {0}, stamp = {0};
    struct log_line l;

    if (log_line_parse(line, len, &l) < 0)
        return;
    log_line_text(&l, &text);
    log_line_time(&l);
    log_line_timestamp(&l, &stamp);
    promise(buf_size(&text) <= l.text_len);
}

static void check_record(const struct jsonlog_tail *tail, size_t n)
{
    _cleanup_buf_ struct buf text = {0};
    struct log_line l;
    json_t *v;

    (void)tail;
    promise(n > 1 && record[n - 1] == '\n');
    promise(log_line_parse(record, n - 1, &l) == 0);
    log_line_text(&l, &text);
    promise(l.is_stderr && log_line_time(&l) == INT64_C(1700000000120000000));
    v = json_loadb(record, n, JSON_ALLOW_NUL, NULL);
    promise(v);
    promise(json_string_length(json_object_get(v, "log")) == buf_size(&text));
    promise(memcmp(json_string_value(json_object_get(v, "log")), buf_head(&text),
                   buf_size(&text)) == 0);
    json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = xmalloc(size + 1);
    const char *p = copy;
    struct jsonlog_tail tail;
    size_t n;

    memcpy(copy, data, size);
    read_line(copy, size);
    jsonlog_tail(&tail, "stderr", INT64_C(1700000000120000000));
    stream.len = 0;
    while ((n = jsonlog_next(&stream, &tail, &p, &size, record)) > 0)
        check_record(&tail, n);
    n = jsonlog_flush(&stream, &tail, record);
    if (n > 0)
        check_record(&tail, n);
    free(copy);
    return 0;
}
