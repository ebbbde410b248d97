#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dns_packet.h"
#include "mem.h"

/* A query as resolvers send it: id 0x1234, RD, one question. */
static size_t make_query(uint8_t *out, const char *name, uint16_t type, bool edns, uint16_t size)
{
    static const uint8_t header[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    size_t n = sizeof(header);

    memcpy(out, header, n);
    out[11] = edns;
    while (*name) {
        size_t len = strcspn(name, ".");

        out[n++] = (uint8_t)len;
        memcpy(out + n, name, len);
        n += len;
        name += len + (name[len] == '.');
    }
    out[n++] = 0;
    out[n++] = (uint8_t)(type >> 8);
    out[n++] = (uint8_t)type;
    out[n++] = 0;
    out[n++] = 1;
    if (edns) {
        const uint8_t opt[] = {0, 0, 41, (uint8_t)(size >> 8), (uint8_t)size, 0, 0, 0, 0, 0, 0};

        memcpy(out + n, opt, sizeof(opt));
        n += sizeof(opt);
    }
    return n;
}

START_TEST(reads_what_resolvers_send)
{
    uint8_t packet[512];
    struct dns_query q;
    size_t n = make_query(packet, "Web.Example.COM", DNS_TYPE_A, false, 0);

    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    ck_assert_uint_eq(q.id, 0x1234);
    ck_assert_uint_eq(q.type, DNS_TYPE_A);
    ck_assert_uint_eq(q.klass, DNS_CLASS_IN);
    ck_assert_str_eq(q.name, "web.example.com");
    ck_assert(q.plain && !q.edns);
    ck_assert_uint_eq(q.udp_size, 512);
    ck_assert_uint_eq(q.question_len, 17 + 4);
    n = make_query(packet, "db", DNS_TYPE_AAAA, true, 1232);
    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    ck_assert(q.edns);
    ck_assert_uint_eq(q.udp_size, 1232);
    n = make_query(packet, "db", DNS_TYPE_AAAA, true, 100); /* RFC 6891 6.2.3: as 512 */
    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    ck_assert_uint_eq(q.udp_size, 512);
    n = make_query(packet, "", DNS_TYPE_A, false, 0);
    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    ck_assert_str_eq(q.name, "");
}
END_TEST

START_TEST(refuses_every_shortened_packet)
{
    uint8_t packet[512];
    struct dns_query q;
    size_t n = make_query(packet, "web.example.com", DNS_TYPE_A, true, 4096);

    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ uint8_t *exact = xmalloc(i + 1);

        memcpy(exact, packet, i);
        ck_assert_int_eq(dns_query_parse(exact, i, &q), i < DNS_HEADER_LEN ? -EPROTO : -EBADMSG);
    }
}
END_TEST

START_TEST(refuses_malformed_queries)
{
    uint8_t packet[1024];
    struct dns_query q;
    size_t n = make_query(packet, "web", DNS_TYPE_A, false, 0);

    packet[2] |= 0x80; /* an answer */
    ck_assert_int_eq(dns_query_parse(packet, n, &q), -EPROTO);
    packet[2] = 0x28; /* UPDATE */
    ck_assert_int_eq(dns_query_parse(packet, n, &q), -ENOTSUP);
    packet[2] = 1;
    packet[5] = 2; /* two questions */
    ck_assert_int_eq(dns_query_parse(packet, n, &q), -EBADMSG);
    packet[5] = 0;
    ck_assert_int_eq(dns_query_parse(packet, n, &q), -EBADMSG);
    packet[5] = 1;
    packet[12] = 0xc0; /* a name that points at itself */
    packet[13] = 12;
    ck_assert_int_eq(dns_query_parse(packet, n, &q), -EBADMSG);
    packet[12] = 64; /* a label longer than labels are */
    ck_assert_int_eq(dns_query_parse(packet, n, &q), -EBADMSG);
    n = make_query(packet, "web", DNS_TYPE_A, true, 512);
    memcpy(packet + n, packet + n - 11, 11); /* a second OPT */
    packet[11] = 2;
    ck_assert_int_eq(dns_query_parse(packet, n + 11, &q), -EBADMSG);
    packet[7] = 0xff; /* counts that the packet cannot hold */
    packet[6] = 0xff;
    ck_assert_int_eq(dns_query_parse(packet, n + 11, &q), -EBADMSG);
}
END_TEST

START_TEST(names_have_a_limit)
{
    uint8_t packet[1024];
    char name[300] = "";
    struct dns_query q;
    size_t n;

    for (int i = 0; i < 126; i++)
        strcat(name, "a.");
    strcat(name, "b"); /* 127 labels of 2 bytes and the root: 255 */
    n = make_query(packet, name, DNS_TYPE_A, false, 0);
    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    ck_assert_str_eq(q.name, name);
    strcat(name, "c");
    n = make_query(packet, name, DNS_TYPE_A, false, 0);
    ck_assert_int_eq(dns_query_parse(packet, n, &q), -EBADMSG);
}
END_TEST

START_TEST(odd_names_are_not_plain)
{
    uint8_t packet[512];
    struct dns_query q;
    size_t n = make_query(packet, "web", DNS_TYPE_A, false, 0);

    packet[14] = '.';
    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    ck_assert(!q.plain);
    ck_assert_str_eq(q.name, "");
    packet[14] = 0;
    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    ck_assert(!q.plain);
}
END_TEST

START_TEST(reverse_names_of_ipv6)
{
    static const char name[] =
        "1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.f.ip6.arpa";
    static const uint8_t want[DNS_IPV6_LEN] = {0xfd, [15] = 0x21};
    uint8_t got[DNS_IPV6_LEN];

    ck_assert(dns_reverse6_name_parse(name, got));
    ck_assert_mem_eq(got, want, sizeof(want));
    ck_assert(!dns_reverse6_name_parse(name + 2, got));
    ck_assert(!dns_reverse6_name_parse("0.ip6.arpa", got));
}
END_TEST

static uint8_t out[DNS_LOCAL_ANSWER_MAX];

START_TEST(answers_hold_the_addresses)
{
    struct dns_answer a = {.authoritative = true, .n = 2, .addresses = {0x0a000001, 0x0a000002}};
    static const uint8_t record[] = {0xc0, 12, 0,  1, 0, 1, 0, 0, 0, DNS_ANSWER_TTL_S,
                                     0,    4,  10, 0, 0, 2};
    uint8_t packet[512];
    struct dns_query q;
    size_t n = make_query(packet, "wEb", DNS_TYPE_A, true, 1232), len;

    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    len = dns_build_answer(&q, &a, q.udp_size, out);
    ck_assert_uint_eq(len, n + 2 * sizeof(record));
    ck_assert_uint_eq(dns_id(out), 0x1234);
    ck_assert_uint_eq(out[2], 0x85); /* QR, AA, RD */
    ck_assert_uint_eq(out[3], 0x80); /* RA, NOERROR */
    ck_assert_uint_eq(out[7], 2);
    ck_assert_mem_eq(out + 12, packet + 12, 9); /* the question in its own letters */
    ck_assert_mem_eq(out + 21 + sizeof(record), record, sizeof(record));
    ck_assert_uint_eq(out[len - 11 + 2], 41);
    ck_assert(dns_is_answer_to(out, len, packet, n));
    a.n = 0; /* known, but not by such a type: no error and no record */
    q.type = DNS_TYPE_AAAA;
    len = dns_build_answer(&q, &a, q.udp_size, out);
    ck_assert_uint_eq(len, n);
    ck_assert_uint_eq(dns_rcode(out), DNS_NOERROR);
}
END_TEST

START_TEST(answers_keep_to_the_size_that_the_client_takes)
{
    struct dns_answer a = {.n = DNS_ADDRESSES_MAX};
    uint8_t packet[512];
    struct dns_query q;
    size_t n = make_query(packet, "web", DNS_TYPE_A, false, 0), len;

    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    len = dns_build_answer(&q, &a, q.udp_size, out);
    ck_assert_uint_le(len, 512);
    ck_assert(out[2] & 2); /* TC */
    ck_assert_uint_eq(out[7], (512 - n) / 16);
    len = dns_build_answer(&q, &a, DNS_MESSAGE_MAX, out);
    ck_assert_uint_eq(len, n + 64 * 16);
    ck_assert(!(out[2] & 2));
}
END_TEST

START_TEST(pointers_and_errors)
{
    struct dns_answer a = {.authoritative = true, .name = "web.front"};
    uint8_t packet[512];
    struct dns_query q;
    size_t n = make_query(packet, "2.0.0.10.in-addr.arpa", DNS_TYPE_PTR, false, 0), len;
    uint32_t address;

    ck_assert_int_eq(dns_query_parse(packet, n, &q), 0);
    ck_assert(dns_reverse_name_parse(q.name, &address));
    ck_assert_uint_eq(address, 0x0a000002);
    len = dns_build_answer(&q, &a, q.udp_size, out);
    ck_assert_uint_eq(len, n + 12 + 11);
    ck_assert_mem_eq(out + len - 11, "\3web\5front", 11);
    len = dns_build_error(&q, DNS_NXDOMAIN, out);
    ck_assert_uint_eq(len, n);
    ck_assert_uint_eq(dns_rcode(out), DNS_NXDOMAIN);
    q = (struct dns_query){.id = 7, .edns = true}; /* a parse that got no further */
    len = dns_build_error(&q, DNS_BADVERS, out);
    ck_assert_uint_eq(len, 12 + 11);
    ck_assert_uint_eq(out[12 + 5], 1);
}
END_TEST

START_TEST(reverse_names_are_whole)
{
    static const char *const bad[] = {
        "in-addr.arpa",           "1.2.3.in-addr.arpa",      "1.2.3.4.5.in-addr.arpa",
        "256.1.1.1.in-addr.arpa", "01.1.1.1.in-addr.arpa",   "1.1.1.1.in-addr.arpa.x",
        "1.1.1.x.in-addr.arpa",   "1.1.1.1111.in-addr.arpa", ""};
    uint32_t address;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint8_t address6[DNS_IPV6_LEN];

        ck_assert_msg(!dns_reverse_name_parse(bad[i], &address), "took '%s'", bad[i]);
        ck_assert_msg(!dns_reverse6_name_parse(bad[i], address6), "took '%s'", bad[i]);
    }
}
END_TEST

START_TEST(only_the_answer_is_an_answer)
{
    struct dns_answer a = {.n = 1};
    uint8_t sent[512], changed[512];
    struct dns_query q;
    size_t n = make_query(sent, "web", DNS_TYPE_A, false, 0), len;

    ck_assert_int_eq(dns_query_parse(sent, n, &q), 0);
    len = dns_build_answer(&q, &a, 512, out);
    ck_assert(dns_is_answer_to(out, len, sent, n));
    ck_assert(!dns_is_answer_to(sent, n, sent, n)); /* the query itself */
    for (size_t i = 0; i < n - 1; i++)
        ck_assert(!dns_is_answer_to(out, i, sent, n));
    static const size_t must_be_same[] = {0, 1, 2, 4, 5, 12, 13, 16, 17, 18, 19, 20};
    for (size_t i = 0; i < ARRAY_SIZE(must_be_same); i++) {
        memcpy(changed, out, len);
        changed[must_be_same[i]] ^= 0x98;
        ck_assert_msg(!dns_is_answer_to(changed, len, sent, n), "byte %zu", must_be_same[i]);
    }
    memcpy(changed, out, len);
    changed[13] = 'W'; /* servers that do not keep the case */
    ck_assert(dns_is_answer_to(changed, len, sent, n));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dns_packet");
    TCase *t = tcase_create("dns_packet");
    SRunner *r;
    int failed;

    tcase_add_test(t, reads_what_resolvers_send);
    tcase_add_test(t, refuses_every_shortened_packet);
    tcase_add_test(t, refuses_malformed_queries);
    tcase_add_test(t, names_have_a_limit);
    tcase_add_test(t, odd_names_are_not_plain);
    tcase_add_test(t, answers_hold_the_addresses);
    tcase_add_test(t, answers_keep_to_the_size_that_the_client_takes);
    tcase_add_test(t, pointers_and_errors);
    tcase_add_test(t, reverse_names_are_whole);
    tcase_add_test(t, reverse_names_of_ipv6);
    tcase_add_test(t, only_the_answer_is_an_answer);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
