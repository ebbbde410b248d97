/* DNS messages: what the name server reads of a query and how it answers one (RFC 1035, RFC 6891
 * for EDNS).  Pure functions over bytes that containers and name servers made up: every read is
 * checked against the length that came, nothing is followed, nothing is allocated.  Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER_LEN 12
#define DNS_MESSAGE_MAX 65535 /* a TCP message's length is 16 bits */
#define DNS_UDP_DEFAULT 512   /* what a client without EDNS takes */
#define DNS_NAME_MAX 256      /* as text with its NUL; 255 bytes on the wire */
#define DNS_ADDRESSES_MAX 64  /* of one answer */
#define DNS_IPV6_LEN 16
#define DNS_ANSWER_TTL_S 5        /* containers come and go */
#define DNS_LOCAL_ANSWER_MAX 4096 /* room for any answer that dns_build_answer() makes */

enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_ANY = 255,
};

#define DNS_CLASS_IN 1

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16, /* needs EDNS to be told */
};

struct dns_query {
    uint16_t id, flags; /* host byte order */
    uint16_t type, klass;
    const uint8_t *question; /* borrowed from the packet: name, type and class */
    size_t question_len;
    char name[DNS_NAME_MAX]; /* lower case, without a dot at the end; "" if not plain */
    bool plain;              /* the name is of visible characters, none of which is a dot */
    bool edns;
    uint8_t edns_version;
    uint16_t udp_size; /* that the client takes; at least DNS_UDP_DEFAULT */
};

/* Read a query.  0, or
 * -EPROTO: not a query at all; whatever is answered may begin a loop, so nothing is,
 * -EBADMSG: malformed: deserves FORMERR; *ret holds id and flags, and the question if it got so
 * far, -ENOTSUP: not a standard query: deserves NOTIMP; *ret holds id and flags. */
int dns_query_parse(const uint8_t *data, size_t len, struct dns_query *ret);

struct dns_answer {
    enum dns_rcode rcode;
    bool authoritative;
    size_t n; /* of addresses, host byte order */
    uint32_t addresses[DNS_ADDRESSES_MAX];
    size_t n6;
    uint8_t addresses6[DNS_ADDRESSES_MAX][DNS_IPV6_LEN];
    char name[DNS_NAME_MAX]; /* with PTR, and nothing else; "": none */
};

/* The answer to a query in at most `limit` bytes (what the client takes; at least DNS_UDP_DEFAULT).
 * What does not fit is left out and the answer marked as truncated.  out has room for
 * DNS_LOCAL_ANSWER_MAX.  The answer's length. */
size_t dns_build_answer(const struct dns_query *query, const struct dns_answer *answer,
                        size_t limit, uint8_t *out);

/* What a query is answered with that gets nothing but a code; same for a parse that failed. */
size_t dns_build_error(const struct dns_query *query, enum dns_rcode rcode, uint8_t *out);

/* Is this the answer to what was sent: same id, question and opcode?  (Letters' case may differ:
 * some servers do not keep it.) */
bool dns_is_answer_to(const uint8_t *data, size_t len, const uint8_t *sent, size_t sent_len);

/* Of a message of at least DNS_HEADER_LEN. */
uint16_t dns_id(const uint8_t *data);
void dns_set_id(uint8_t *data, uint16_t id);
void dns_set_truncated(uint8_t *data);
enum dns_rcode dns_rcode(const uint8_t *data);

/* "4.3.2.1.in-addr.arpa" is 1.2.3.4, host byte order; names of other forms are false. */
bool dns_reverse_name_parse(const char *name, uint32_t *ret);
/* The same for IPv6: 32 hex digits and "ip6.arpa" (RFC 3596). */
bool dns_reverse6_name_parse(const char *name, uint8_t ret[DNS_IPV6_LEN]);
