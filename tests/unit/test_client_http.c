#include <check.h>
#include <errno.h>
#include <string.h>

#include "http.h"

static int head(const char *text, struct http_head *h)
{
    return http_head_parse(text, strlen(text), h);
}

START_TEST(head_with_length)
{
    struct http_head h;
    const char *text = "HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
                       "content-length:  12 \r\n\r\nrest";

    ck_assert_int_eq(head(text, &h), (int)(strlen(text) - 4));
    ck_assert_int_eq(h.status, 200);
    ck_assert_int_eq(h.content_length, 12);
    ck_assert_str_eq(h.content_type, "application/json");
    ck_assert(!h.chunked && !h.close);
}
END_TEST

START_TEST(head_incomplete_at_every_cut)
{
    const char *text = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct http_head h;

    for (size_t n = 0; n < strlen(text); n++)
        ck_assert_int_eq(http_head_parse(text, n, &h), 0);
    ck_assert_int_gt(head(text, &h), 0);
    ck_assert(h.chunked);
}
END_TEST

START_TEST(head_malformed)
{
    struct http_head h;

    ck_assert_int_eq(head("SMTP ready\r\n\r\n", &h), -EBADMSG);
    ck_assert_int_eq(head("HTTP/1.1 2x0 OK\r\n\r\n", &h), -EBADMSG);
    ck_assert_int_eq(head("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", &h), -EBADMSG);
    ck_assert_int_eq(head("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", &h), -EBADMSG);
    ck_assert_int_eq(head("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", &h), -EBADMSG);
    ck_assert_int_eq(head("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", &h), -EBADMSG);
}
END_TEST

START_TEST(head_too_long)
{
    static char text[HTTP_HEAD_MAX + 100];
    struct http_head h;

    memset(text, 'a', sizeof(text));
    memcpy(text, "HTTP/1.1 200 OK\r\nX: ", 20);
    ck_assert_int_eq(http_head_parse(text, sizeof(text), &h), -EMSGSIZE);
}
END_TEST

/* Decode `body` fed in pieces of `step` bytes; returns the last answer of the decoder. */
static int decode(const char *head_text, const char *body, size_t step, char *out, size_t room)
{
    struct http_head h;
    struct http_body b;
    struct buf in = {0}, decoded = {0};
    int r = 0;
    char *text;

    ck_assert_int_gt(head(head_text, &h), 0);
    http_body_init(&b, &h, false);
    for (size_t i = 0; i < strlen(body) && r == 0; i += step) {
        size_t n = strlen(body) - i < step ? strlen(body) - i : step;

        buf_append(&in, body + i, n);
        r = http_body_decode(&b, &in, &decoded);
    }
    text = buf_take_str(&decoded);
    ck_assert_uint_lt(strlen(text), room);
    strcpy(out, text);
    free(text);
    buf_done(&in);
    return r;
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

START_TEST(chunks_in_any_pieces)
{
    const char *body = "5\r\nhello\r\n1;ext=1\r\n \r\n00a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    char out[64];

    for (size_t step = 1; step <= strlen(body); step++) {
        ck_assert_int_eq(decode(CHUNKED, body, step, out, sizeof(out)), 1);
        ck_assert_str_eq(out, "hello 0123456789");
    }
}
END_TEST

START_TEST(chunks_malformed)
{
    char out[64];

    ck_assert_int_eq(decode(CHUNKED, "x\r\n", 64, out, sizeof(out)), -EBADMSG);
    ck_assert_int_eq(decode(CHUNKED, "\r\n", 64, out, sizeof(out)), -EBADMSG);
    ck_assert_int_eq(decode(CHUNKED, "-1\r\n", 64, out, sizeof(out)), -EBADMSG);
    ck_assert_int_eq(decode(CHUNKED, "fffffffffffffffff\r\n", 64, out, sizeof(out)), -EBADMSG);
    ck_assert_int_eq(decode(CHUNKED, "2\r\nabc\r\n", 64, out, sizeof(out)), -EBADMSG);
}
END_TEST

START_TEST(chunk_line_too_long)
{
    static char body[HTTP_CHUNK_LINE_MAX + 8];
    char out[8];

    memset(body, '0', sizeof(body) - 1);
    ck_assert_int_eq(decode(CHUNKED, body, sizeof(body), out, sizeof(out)), -EBADMSG);
}
END_TEST

START_TEST(length_leaves_the_rest)
{
    struct http_head h;
    struct http_body b;
    struct buf in = {0}, out = {0};

    ck_assert_int_gt(head("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", &h), 0);
    http_body_init(&b, &h, false);
    buf_append_str(&in, "abcdef");
    ck_assert_int_eq(http_body_decode(&b, &in, &out), 1);
    ck_assert_uint_eq(buf_size(&out), 3);
    ck_assert_uint_eq(buf_size(&in), 3);
    buf_done(&in);
    buf_done(&out);
}
END_TEST

START_TEST(end_of_stream)
{
    struct http_head h;
    struct http_body b;

    ck_assert_int_gt(head("HTTP/1.1 200 OK\r\n\r\n", &h), 0);
    http_body_init(&b, &h, false);
    ck_assert_int_eq(http_body_eof(&b), 0);
    ck_assert_int_gt(head(CHUNKED, &h), 0);
    http_body_init(&b, &h, false);
    ck_assert_int_eq(http_body_eof(&b), -EPIPE);
    ck_assert_int_gt(head("HTTP/1.1 204 No Content\r\n\r\n", &h), 0);
    http_body_init(&b, &h, false);
    ck_assert_int_eq(b.state, BODY_DONE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_http");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, head_with_length);
    tcase_add_test(tc, head_incomplete_at_every_cut);
    tcase_add_test(tc, head_malformed);
    tcase_add_test(tc, head_too_long);
    tcase_add_test(tc, chunks_in_any_pieces);
    tcase_add_test(tc, chunks_malformed);
    tcase_add_test(tc, chunk_line_too_long);
    tcase_add_test(tc, length_leaves_the_rest);
    tcase_add_test(tc, end_of_stream);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
