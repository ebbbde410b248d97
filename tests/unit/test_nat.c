#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "nat.h"

START_TEST(key_for_every_address)
{
    struct port_lease lease = {.proto = IPPROTO_TCP, .host_port = 8080, .container_port = 80};
    static const uint8_t want[] = {6, 0, 0, 0, 0x1f, 0x90, 0, 0};
    uint8_t key[NAT_KEY_MAX];

    memset(key, 0xff, sizeof(key));
    ck_assert_uint_eq(nat_key(&lease, key), sizeof(want));
    ck_assert_mem_eq(key, want, sizeof(want));
}
END_TEST

START_TEST(key_for_one_address)
{
    struct port_lease lease = {
        .proto = IPPROTO_UDP, .host_port = 53, .container_port = 5353, .host_ip = 0x7f000001};
    static const uint8_t want[] = {127, 0, 0, 1, 17, 0, 0, 0, 0, 53, 0, 0};
    uint8_t key[NAT_KEY_MAX];

    memset(key, 0xff, sizeof(key));
    ck_assert_uint_eq(nat_key(&lease, key), sizeof(want));
    ck_assert_mem_eq(key, want, sizeof(want));
}
END_TEST

START_TEST(data_is_address_and_container_port)
{
    struct port_lease lease = {.proto = IPPROTO_TCP, .host_port = 1, .container_port = 0x1234};
    static const uint8_t want[] = {172, 17, 0, 2, 0x12, 0x34, 0, 0};
    uint8_t data[NAT_DATA_LEN];

    memset(data, 0xff, sizeof(data));
    nat_data(&lease, 0xac110002, data);
    ck_assert_mem_eq(data, want, sizeof(want));
}
END_TEST

START_TEST(requests_lie_one_after_the_other)
{
    struct nl_batch batch = {0};
    struct nlmsghdr *nlh;
    const char *data;

    for (uint32_t i = 0; i < 100; i++) { /* more than fits without growing */
        nlh = nl_request(&batch, "test", (uint16_t)(100 + i), i % 2 ? NLM_F_ACK : NLM_F_EXCL);
        mnl_attr_put(nlh, 1, 101 + i, memset((char[256]){0}, (int)i, 256));
    }
    nl_request(&batch, "last", 99, NLM_F_DUMP);
    ck_assert_uint_eq(batch.n, 101);
    ck_assert_uint_eq(batch.n_acks, 51); /* NLM_F_EXCL alone does not ask for an answer */
    data = batch.bytes.data;
    for (uint32_t i = 0; i < 100; i++) {
        const struct nlmsghdr *m = (const struct nlmsghdr *)data;
        const struct nlattr *attr = mnl_nlmsg_get_payload(m);

        ck_assert_uint_eq(m->nlmsg_type, 100 + i);
        ck_assert(m->nlmsg_flags & NLM_F_REQUEST);
        ck_assert_uint_eq(mnl_attr_get_payload_len(attr), 101 + i);
        ck_assert_uint_eq(*(const uint8_t *)mnl_attr_get_payload(attr), i);
        data += MNL_ALIGN(m->nlmsg_len);
    }
    ck_assert_ptr_eq(data, batch.bytes.data + batch.current);
    nl_batch_done(&batch);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nat");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_add_test(t, key_for_every_address);
    tcase_add_test(t, key_for_one_address);
    tcase_add_test(t, data_is_address_and_container_port);
    tcase_add_test(t, requests_lie_one_after_the_other);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
