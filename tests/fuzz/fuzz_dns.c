/* What containers and name servers send to the name server: queries, and answers to what it asked.
 */
#include "dns_packet.h"
#include "fuzz.h"

/* Whatever was made of a query must be readable as its answer. */
static void answer(const uint8_t *data, size_t size, const struct dns_query *q, uint8_t seed)
{
    static const enum dns_rcode codes[] = {DNS_NOERROR, DNS_FORMERR, DNS_NXDOMAIN, DNS_BADVERS};
    struct dns_answer a = {.rcode = codes[seed % ARRAY_SIZE(codes)],
                           .n = seed % (DNS_ADDRESSES_MAX + 1),
                           .n6 = seed / 2 % (DNS_ADDRESSES_MAX + 1)};
    uint8_t out[DNS_LOCAL_ANSWER_MAX];
    size_t len;

    snprintf(a.name, sizeof(a.name), "%s", q->name); /* any text may be a container's name */
    len = dns_build_answer(q, &a, q->udp_size, out);
    promise(len <= sizeof(out) && len <= (q->udp_size < 512 ? 512 : q->udp_size));
    promise(dns_is_answer_to(out, len, data, size));
    promise(dns_id(out) == q->id && dns_rcode(out) == (a.rcode & 0xf));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[DNS_LOCAL_ANSWER_MAX], *exact = xmalloc(size + 1);
    struct dns_query q;
    uint8_t address6[DNS_IPV6_LEN];
    uint32_t address;
    int r;

    memcpy(exact, data, size);
    r = dns_query_parse(exact, size, &q);
    if (r >= 0) {
        promise(q.question_len >= 5 && q.question_len <= 259);
        promise(strlen(q.name) < DNS_NAME_MAX && q.udp_size >= DNS_UDP_DEFAULT);
        answer(exact, size, &q, exact[size - 1]);
        dns_reverse_name_parse(q.name, &address);
        dns_reverse6_name_parse(q.name, address6);
    } else if (size >= DNS_HEADER_LEN) {
        promise(dns_build_error(&q, DNS_FORMERR, out) <= DNS_UDP_DEFAULT);
    }
    /* The two halves as what came and what was sent. */
    dns_is_answer_to(exact, size / 2, exact + size / 2, size - size / 2);
    free(exact);
    return 0;
}
