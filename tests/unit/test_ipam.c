#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ipam.h"
#include "leases.h"

static struct db *db;
static struct ipam *ipam;
static struct err err;

static void add_container(const char *id)
{
    ck_assert_int_eq(db_run(db,
                            db_query(db,
                                     "INSERT INTO containers(id, name, created, image_id, config,"
                                     " state) VALUES(?1, ?1, 0, '', '{}', '{}')",
                                     "s", id),
                            &err),
                     0);
}

static void open_ipam(const char *gateway)
{
    struct inet4 net;

    ck_assert_int_eq(inet4_parse(gateway, &net), 0);
    ck_assert_int_eq(ipam_new(db, "bridge", &net, &ipam, &err), 0);
}

/* Six containers c0..c5 and a subnet with five free addresses: .2 to .6, gateway .1. */
static void setup(void)
{
    char id[16];

    ck_assert_int_eq(db_open(":memory:", &db, &err), 0);
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof(id), "c%d", i);
        add_container(id);
    }
    open_ipam("10.0.0.1/29");
}

static void teardown(void)
{
    ipam_free(ipam);
    db_close(db);
}

static uint32_t take(const char *id)
{
    uint32_t address = 0;

    ck_assert_msg(ipam_take(ipam, id, 0, &address, &err) >= 0, "%s", err.message);
    return address;
}

START_TEST(addresses_are_given_round_robin)
{
    ck_assert_uint_eq(take("c0"), 0x0a000002);
    ck_assert_uint_eq(take("c1"), 0x0a000003);
    ck_assert_int_eq(ipam_release(ipam, "c0", &err), 0);
    ck_assert_uint_eq(take("c2"), 0x0a000004); /* not .2 at once */
    ck_assert_uint_eq(take("c3"), 0x0a000005);
    ck_assert_uint_eq(take("c4"), 0x0a000006);
    ck_assert_uint_eq(take("c0"), 0x0a000002); /* wrapped round */
}
END_TEST

START_TEST(exhaustion_is_told_and_ends_with_a_release)
{
    uint32_t address = 7;
    char id[16];

    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "c%d", i);
        take(id);
    }
    ck_assert_int_eq(ipam_take(ipam, "c5", 0, &address, &err), -EADDRNOTAVAIL);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    ck_assert_uint_eq(address, 7);
    ck_assert_int_eq(ipam_release(ipam, "c3", &err), 0);
    ck_assert_uint_eq(take("c5"), 0x0a000005);
}
END_TEST

START_TEST(a_container_keeps_what_it_has)
{
    uint32_t first = take("c0");

    ck_assert_uint_eq(take("c0"), first);
    ck_assert_uint_ne(take("c1"), first);
}
END_TEST

START_TEST(wanted_address_is_lent_or_refused)
{
    uint32_t address;

    ck_assert_int_eq(ipam_take(ipam, "c0", 0x0a000005, &address, &err), 0);
    ck_assert_uint_eq(address, 0x0a000005);
    ck_assert_int_eq(ipam_take(ipam, "c1", 0x0a000005, &address, &err), -EADDRINUSE);
    ck_assert_int_eq(err.kind, ERR_FORBIDDEN);
    ck_assert_str_eq(err.message, "Address already in use");
    ck_assert_int_eq(ipam_take(ipam, "c1", 0x0a000001, &address, &err), -EADDRINUSE);
    ck_assert_int_eq(ipam_take(ipam, "c1", 0x0a000007, &address, &err), -EINVAL);
    ck_assert_int_eq(ipam_take(ipam, "c1", 0x0a000000, &address, &err), -EINVAL);
    ck_assert_int_eq(ipam_take(ipam, "c1", 0x0b000002, &address, &err), -EINVAL);
    ck_assert_int_eq(err.kind, ERR_INVALID);
}
END_TEST

START_TEST(another_wanted_address_replaces_the_old_one)
{
    uint32_t address;

    ck_assert_uint_eq(take("c0"), 0x0a000002);
    ck_assert_int_eq(ipam_take(ipam, "c0", 0x0a000006, &address, &err), 0);
    ck_assert_int_eq(leases_address_get(db, "bridge", "c0", &address, &err), 1);
    ck_assert_uint_eq(address, 0x0a000006);
    ck_assert_int_eq(ipam_take(ipam, "c1", 0x0a000002, &address, &err), 0);
}
END_TEST

START_TEST(gateway_in_the_middle_is_passed_over)
{
    ipam_free(ipam);
    open_ipam("10.0.0.3/29");
    ck_assert_uint_eq(take("c0"), 0x0a000004);
    ck_assert_uint_eq(take("c1"), 0x0a000005);
    ck_assert_uint_eq(take("c2"), 0x0a000006);
    ck_assert_uint_eq(take("c3"), 0x0a000001);
    ck_assert_uint_eq(take("c4"), 0x0a000002);
    ck_assert_int_eq(ipam_release(ipam, "c4", &err), 0);
    ck_assert_uint_eq(take("c5"), 0x0a000002);
}
END_TEST

START_TEST(a_new_daemon_goes_on_after_the_last_lease)
{
    take("c0");
    take("c1");
    ipam_free(ipam);
    open_ipam("10.0.0.1/29");
    ck_assert_uint_eq(take("c2"), 0x0a000004);
    ck_assert_uint_eq(take("c0"), 0x0a000002);
}
END_TEST

START_TEST(rolled_back_leases_are_free_again)
{
    uint32_t address;

    ck_assert_int_eq(db_begin(db, &err), 0);
    ck_assert_int_eq(ipam_take(ipam, "c0", 0x0a000004, &address, &err), 0);
    db_rollback(db);
    ck_assert_int_eq(leases_address_get(db, "bridge", "c0", &address, &err), 0);
    ck_assert_int_eq(ipam_take(ipam, "c1", 0x0a000004, &address, &err), 0);
}
END_TEST

START_TEST(a_big_subnet_runs_full)
{
    char id[16];

    ipam_free(ipam);
    open_ipam("10.1.0.1/22");
    for (int i = 0; i < 1021; i++) {
        snprintf(id, sizeof(id), "n%d", i);
        add_container(id);
        ck_assert_uint_eq(take(id), 0x0a010002 + (uint32_t)i);
    }
    ck_assert_int_eq(ipam_release(ipam, "n500", &err), 0);
    ck_assert_uint_eq(take("c0"), 0x0a010002 + 500);
    ck_assert_int_lt(ipam_take(ipam, "c1", 0, &(uint32_t){0}, &err), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ipam");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, addresses_are_given_round_robin);
    tcase_add_test(t, exhaustion_is_told_and_ends_with_a_release);
    tcase_add_test(t, a_container_keeps_what_it_has);
    tcase_add_test(t, wanted_address_is_lent_or_refused);
    tcase_add_test(t, another_wanted_address_replaces_the_old_one);
    tcase_add_test(t, gateway_in_the_middle_is_passed_over);
    tcase_add_test(t, a_new_daemon_goes_on_after_the_last_lease);
    tcase_add_test(t, rolled_back_leases_are_free_again);
    tcase_add_test(t, a_big_subnet_runs_full);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
