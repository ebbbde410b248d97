#include <check.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#include "nat.h"
#include "ruleset.h"

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

/* Elements of a set among the requests, in both counts: all, and those with an end. */
static void count(const struct nl_batch *batch, const char *set, unsigned *all, unsigned *ranges)
{
    const char *end = batch->bytes.data + batch->current;
    const struct nlmsghdr *nlh;
    const char *data = batch->bytes.data;

    *all = *ranges = 0;
    for (bool last = false; batch->n > 0 && !last; data += MNL_ALIGN(nlh->nlmsg_len)) {
        const struct nlattr *attr, *elem, *part;
        const char *name = "";

        nlh = (const struct nlmsghdr *)data;
        last = data == end;
        mnl_attr_for_each(attr, nlh, 4)
        {
            if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_SET)
                name = mnl_attr_get_str(attr);
            if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS || strcmp(name, set) != 0)
                continue;
            mnl_attr_for_each_nested(elem, attr)
            {
                ++*all;
                mnl_attr_for_each_nested(part, elem) *ranges +=
                    mnl_attr_get_type(part) == NFTA_SET_ELEM_KEY_END;
            }
        }
    }
}

static void check_count(const struct nl_batch *batch, const char *set, unsigned all,
                        unsigned ranges)
{
    unsigned a, r;

    count(batch, set, &a, &r);
    ck_assert_msg(a == all && r == ranges, "%s: %u elements, %u ranges", set, a, r);
}

static size_t add_row(struct port_lease *ports, size_t n, uint16_t from, uint16_t to, int shift)
{
    for (unsigned port = from; port <= to; port++)
        ports[n++] = (struct port_lease){.proto = IPPROTO_TCP,
                                         .host_port = (uint16_t)port,
                                         .container_port = (uint16_t)((int)port + shift)};
    return n;
}

START_TEST(ports_in_a_row_are_one_element)
{
    struct port_lease ports[512];
    struct nat_target target = {.address = 0xac110002, .ports = ports};
    struct nl_batch batch = {0};
    size_t n = 0;

    n = add_row(ports, n, 8000, 8205, 0);
    n = add_row(ports, n, 9000, 9000 + NAT_RANGE_MIN - 2, 0); /* too short */
    n = add_row(ports, n, 10000, 10099, 1);                   /* another number inside */
    ports[n++] =
        (struct port_lease){.proto = IPPROTO_UDP, .host_port = 8206, .container_port = 8206};
    n = add_row(ports, n, 8207, 8300, 0); /* 8206 is missing */
    target.n_ports = n;
    nat_put(&batch, "t", &target, 1);
    check_count(&batch, MAP_ANY_RANGES, 2, 2);
    check_count(&batch, MAP_ANY, NAT_RANGE_MIN - 1 + 100 + 1, 0);
    check_count(&batch, MAP_SPECIFIC, 0, 0);
    nl_batch_done(&batch);
    /* Relayed by IPv6, where the number inside is nothing to the rules. */
    batch = (struct nl_batch){0};
    nft_family(&batch, NFPROTO_IPV6);
    nat_put(&batch, "t", &target, 1);
    check_count(&batch, SET_RELAYED_RANGES, 3, 3);
    check_count(&batch, SET_RELAYED, NAT_RANGE_MIN - 1, 0);
    check_count(&batch, MAP_ANY, 0, 0);
    nl_batch_done(&batch);
}
END_TEST

START_TEST(order_of_ports_does_not_matter)
{
    struct port_lease ports[64], other[64];
    struct nat_target a = {.address = 1, .ports = ports}, b = {.address = 1, .ports = other};
    struct nl_batch one = {0}, two = {0};

    a.n_ports = b.n_ports = add_row(ports, 0, 100, 163, 0);
    for (size_t i = 0; i < a.n_ports; i++)
        other[i] = ports[i * 37 % a.n_ports];
    nat_put(&one, "t", &a, 1);
    nat_put(&two, "t", &b, 1);
    check_count(&two, MAP_ANY_RANGES, 1, 1);
    ck_assert_uint_eq(one.current, two.current);
    ck_assert_mem_eq(one.bytes.data, two.bytes.data, one.current);
    nl_batch_done(&one);
    nl_batch_done(&two);
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
    tcase_add_test(t, ports_in_a_row_are_one_element);
    tcase_add_test(t, order_of_ports_does_not_matter);
    tcase_add_test(t, requests_lie_one_after_the_other);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
