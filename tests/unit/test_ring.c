#include "ring.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#define CHUNKS 3
#define SIZE 64
#define COUNT 20000

/* Numbers, in chunks of different length. */
static void *write_all(void *arg)
{
    struct ring *r = arg;
    uint32_t n = 0;

    while (n < COUNT) {
        uint32_t *room = ring_room(r);
        size_t len = 1 + n % (SIZE / sizeof(n));

        if (!room)
            return NULL;
        for (size_t i = 0; i < len; i++)
            room[i] = n++;
        ring_put(r, len * sizeof(n));
    }
    ring_end(r, NULL);
    return NULL;
}

struct reader {
    struct ring *ring;
    unsigned number;
    uint32_t next; /* what it expects */
    uint32_t until;
    int result;
};

static void *read_all(void *arg)
{
    struct reader *rd = arg;
    const void *data;
    size_t len;

    while ((rd->result = ring_get(rd->ring, rd->number, &data, &len, NULL)) > 0) {
        for (size_t i = 0; i < len / sizeof(uint32_t); i++)
            rd->next += ((const uint32_t *)data)[i] == rd->next;
        ring_release(rd->ring, rd->number);
        if (rd->next >= rd->until) {
            ring_leave(rd->ring, rd->number);
            return NULL;
        }
    }
    return NULL;
}

/* One reader may leave early: the other is not held up. */
START_TEST(test_every_reader_sees_all)
{
    uint32_t leaves_at = _i ? 1000 : UINT32_MAX;
    struct ring *r = ring_new(CHUNKS, SIZE);
    struct reader readers[RING_READERS] = {{.ring = r, .number = 0, .until = UINT32_MAX},
                                           {.ring = r, .number = 1, .until = leaves_at}};
    pthread_t writer, threads[RING_READERS];

    ck_assert_int_eq(pthread_create(&writer, NULL, write_all, r), 0);
    for (unsigned i = 0; i < RING_READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
    pthread_join(writer, NULL);
    for (unsigned i = 0; i < RING_READERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(readers[0].result, 0);
    ck_assert_uint_ge(readers[0].next, COUNT);
    if (_i)
        ck_assert_uint_lt(readers[1].next, COUNT);
    else
        ck_assert_uint_eq(readers[1].next, readers[0].next);
    ring_free(r);
}
END_TEST

START_TEST(test_what_is_not_released_comes_again)
{
    struct ring *r = ring_new(CHUNKS, SIZE);
    const void *first, *again;
    size_t len = 0;

    memcpy(ring_room(r), "abc", 3);
    ring_put(r, 3);
    ck_assert_int_eq(ring_get(r, 0, &first, &len, NULL), 1);
    ck_assert_int_eq(ring_get(r, 0, &again, &len, NULL), 1);
    ck_assert_ptr_eq(first, again);
    ck_assert_uint_eq(len, 3);
    ck_assert_mem_eq(first, "abc", 3);
    ring_free(r);
}
END_TEST

START_TEST(test_an_error_comes_after_the_data)
{
    struct ring *r = ring_new(CHUNKS, SIZE);
    struct err e, got = {0};
    const void *data;
    size_t len;

    *(char *)ring_room(r) = 'x';
    ring_put(r, 1);
    err_set(&e, ERR_INVALID, EFBIG, "too much");
    ring_end(r, &e);
    ck_assert_int_eq(ring_get(r, 0, &data, &len, &got), 1);
    ring_release(r, 0);
    ck_assert_int_eq(ring_get(r, 0, &data, &len, &got), -EFBIG);
    ck_assert_str_eq(got.message, "too much");
    ring_free(r);
}
END_TEST

/* A writer that waits for room and a reader that waits for data both wake. */
START_TEST(test_stop_wakes_everybody)
{
    struct ring *r = ring_new(CHUNKS, SIZE);
    struct reader rd = {.ring = r, .number = 0, .until = UINT32_MAX};
    pthread_t writer, reader;

    if (_i) {
        ring_leave(r, 0);
        ck_assert_int_eq(pthread_create(&writer, NULL, write_all, r), 0);
    } else {
        ck_assert_int_eq(pthread_create(&reader, NULL, read_all, &rd), 0);
    }
    ring_stop(r);
    ck_assert_int_eq(pthread_join(_i ? writer : reader, NULL), 0);
    if (!_i)
        ck_assert_int_eq(rd.result, -ECANCELED);
    ck_assert_ptr_null(ring_room(r));
    ring_free(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ring");
    TCase *tc = tcase_create("ring");
    SRunner *sr;
    int failed;

    tcase_add_loop_test(tc, test_every_reader_sees_all, 0, 2);
    tcase_add_test(tc, test_what_is_not_released_comes_again);
    tcase_add_test(tc, test_an_error_comes_after_the_data);
    tcase_add_loop_test(tc, test_stop_wakes_everybody, 0, 2);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
