#include <check.h>
#include <errno.h>
#include <string.h>

#include "buf.h"
#include "mux.h"

struct got {
    struct buf out, err;
    int stop;
};

static int take(void *arg, enum mux_stream stream, const char *data, size_t len)
{
    struct got *g = arg;

    buf_append(stream == MUX_STDERR ? &g->err : &g->out, data, len);
    return g->stop;
}

static const char frames[] = "\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\3err\1\0\0\0\0\0\0\0"
                             "\0\0\0\0\0\0\0\1!";

START_TEST(in_any_pieces)
{
    for (size_t step = 1; step < sizeof(frames); step++) {
        struct mux m = {0};
        struct got g = {0};

        for (size_t i = 0; i < sizeof(frames) - 1; i += step) {
            size_t n = sizeof(frames) - 1 - i < step ? sizeof(frames) - 1 - i : step;

            ck_assert_int_eq(mux_feed(&m, frames + i, n, take, &g), 0);
        }
        ck_assert_uint_eq(buf_size(&g.out), 6);
        ck_assert_int_eq(memcmp(buf_head(&g.out), "hello!", 6), 0);
        ck_assert_uint_eq(buf_size(&g.err), 3);
        buf_done(&g.out);
        buf_done(&g.err);
    }
}
END_TEST

START_TEST(unknown_stream)
{
    struct mux m = {0};
    struct got g = {0};

    ck_assert_int_eq(mux_feed(&m, "\4\0\0\0\0\0\0\1x", 9, take, &g), -EBADMSG);
}
END_TEST

START_TEST(sink_stops)
{
    struct mux m = {0};
    struct got g = {.stop = -EIO};

    ck_assert_int_eq(mux_feed(&m, frames, sizeof(frames) - 1, take, &g), -EIO);
    ck_assert_uint_eq(buf_size(&g.out), 5);
    buf_done(&g.out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_mux");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, in_any_pieces);
    tcase_add_test(tc, unknown_stream);
    tcase_add_test(tc, sink_stops);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
