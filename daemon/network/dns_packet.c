#include "dns_packet.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

#define LABEL_MAX 63
#define POINTER_BITS 0xc0
#define QUESTION_TAIL 4 /* type, class */
#define RECORD_FIXED 10 /* type, class, ttl, length of the data */
#define OPT_LEN 11
#define NAME_WIRE_MAX 255

#define FLAG_QR 0x8000
#define FLAG_OPCODE 0x7800
#define FLAG_AA 0x0400
#define FLAG_TC 0x0200
#define FLAG_RD 0x0100
#define FLAG_RA 0x0080
#define FLAG_CD 0x0010

/* ---- numbers ---- */

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void set16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void set32(uint8_t *p, uint32_t value)
{
    set16(p, value >> 16);
    set16(p + 2, value & 0xffff);
}

uint16_t dns_id(const uint8_t *data)
{
    return get16(data);
}

void dns_set_id(uint8_t *data, uint16_t id)
{
    set16(data, id);
}

void dns_set_truncated(uint8_t *data)
{
    data[2] |= FLAG_TC >> 8;
}

enum dns_rcode dns_rcode(const uint8_t *data)
{
    return (enum dns_rcode)(data[3] & 0xf);
}

/* ---- reading ---- */

struct reader {
    const uint8_t *data;
    size_t len, at;
};

/* Step over a name; a pointer ends it and is not followed. */
static int skip_name(struct reader *in)
{
    for (;;) {
        uint8_t c;

        if (in->at >= in->len)
            return -EBADMSG;
        c = in->data[in->at];
        if ((c & POINTER_BITS) == POINTER_BITS) {
            in->at += 2;
            return in->at <= in->len ? 0 : -EBADMSG;
        }
        if (c > LABEL_MAX)
            return -EBADMSG;
        in->at += 1 + (size_t)c;
        if (c == 0)
            return in->at <= in->len ? 0 : -EBADMSG;
    }
}

/* The name of a question has nothing before it that a pointer could lead to. */
static int read_question_name(struct reader *in, struct dns_query *q)
{
    size_t start = in->at, n = 0;

    q->plain = true;
    for (;;) {
        uint8_t len;

        if (in->at >= in->len)
            return -EBADMSG;
        len = in->data[in->at++];
        if (len == 0)
            break;
        if (len > LABEL_MAX || len > in->len - in->at || in->at + len - start >= NAME_WIRE_MAX)
            return -EBADMSG;
        if (n > 0)
            q->name[n++] = '.';
        for (; len > 0; len--) {
            uint8_t c = in->data[in->at++];

            q->plain = q->plain && c > ' ' && c < 0x7f && c != '.' && c != '\\';
            q->name[n++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        }
    }
    q->name[q->plain ? n : 0] = '\0';
    return 0;
}

static int read_question(struct reader *in, struct dns_query *q)
{
    size_t start = in->at;
    int r = read_question_name(in, q);

    if (r >= 0 && in->len - in->at < QUESTION_TAIL)
        r = -EBADMSG;
    if (r < 0) {
        q->name[0] = '\0';
        return r;
    }
    q->type = get16(in->data + in->at);
    q->klass = get16(in->data + in->at + 2);
    in->at += QUESTION_TAIL;
    q->question = in->data + start;
    q->question_len = in->at - start;
    return 0;
}

/* A record of the query, of which only EDNS' OPT means anything to us. */
static int read_record(struct reader *in, struct dns_query *q)
{
    const uint8_t *fixed;
    size_t start = in->at, data_len;
    int r = skip_name(in);

    if (r < 0 || in->len - in->at < RECORD_FIXED)
        return -EBADMSG;
    fixed = in->data + in->at;
    in->at += RECORD_FIXED;
    data_len = get16(fixed + 8);
    if (in->len - in->at < data_len)
        return -EBADMSG;
    in->at += data_len;
    if (get16(fixed) != DNS_TYPE_OPT)
        return 0;
    if (q->edns || in->data[start] != 0) /* RFC 6891 6.1.1: one, of the root's name */
        return -EBADMSG;
    q->edns = true;
    q->edns_version = fixed[5];
    if (get16(fixed + 2) > DNS_UDP_DEFAULT)
        q->udp_size = get16(fixed + 2);
    return 0;
}

int dns_query_parse(const uint8_t *data, size_t len, struct dns_query *ret)
{
    struct reader in = {data, len, DNS_HEADER_LEN};
    uint32_t records;
    int r;

    *ret = (struct dns_query){.udp_size = DNS_UDP_DEFAULT};
    if (len < DNS_HEADER_LEN || get16(data + 2) & FLAG_QR)
        return -EPROTO;
    ret->id = get16(data);
    ret->flags = get16(data + 2);
    if (ret->flags & FLAG_OPCODE)
        return -ENOTSUP;
    if (get16(data + 4) != 1)
        return -EBADMSG;
    r = read_question(&in, ret);
    records = (uint32_t)get16(data + 6) + get16(data + 8) + get16(data + 10);
    for (uint32_t i = 0; r >= 0 && i < records; i++)
        r = read_record(&in, ret);
    return r;
}

/* ---- answering ---- */

struct writer {
    uint8_t *data;
    size_t len, limit;
    bool truncated;
};

static uint8_t *put(struct writer *out, size_t n)
{
    uint8_t *p = out->data + out->len;

    if (out->truncated || out->limit - out->len < n) {
        out->truncated = true;
        return NULL;
    }
    out->len += n;
    return p;
}

/* A record whose owner is the question's name: a pointer to where that always is. */
static uint8_t *put_record(struct writer *out, enum dns_type type, size_t data_len)
{
    uint8_t *p = put(out, 2 + RECORD_FIXED + data_len);

    if (!p)
        return NULL;
    set16(p, POINTER_BITS << 8 | DNS_HEADER_LEN);
    set16(p + 2, type);
    set16(p + 4, DNS_CLASS_IN);
    set32(p + 6, DNS_ANSWER_TTL_S);
    set16(p + 10, (unsigned)data_len);
    return p + 2 + RECORD_FIXED;
}

/* "a.b" as labels; the length, or 0 if it is no name. */
static size_t encode_name(const char *name, uint8_t ret[NAME_WIRE_MAX])
{
    size_t n = 0;

    while (*name) {
        size_t len = strcspn(name, ".");

        if (len == 0 || len > LABEL_MAX || n + 1 + len + 1 > NAME_WIRE_MAX)
            return 0;
        ret[n++] = (uint8_t)len;
        memcpy(ret + n, name, len);
        n += len;
        name += len;
        if (*name == '.')
            name++;
    }
    ret[n++] = 0;
    return n;
}

/* How many of the addresses found room. */
static unsigned put_addresses(struct writer *out, const struct dns_answer *answer)
{
    unsigned n = 0;
    uint8_t *p;

    for (size_t i = 0; i < answer->n; i++, n++) {
        p = put_record(out, DNS_TYPE_A, sizeof(uint32_t));
        if (!p)
            return n;
        set32(p, answer->addresses[i]);
    }
    for (size_t i = 0; i < answer->n6; i++, n++) {
        p = put_record(out, DNS_TYPE_AAAA, DNS_IPV6_LEN);
        if (!p)
            return n;
        memcpy(p, answer->addresses6[i], DNS_IPV6_LEN);
    }
    return n;
}

static unsigned put_name(struct writer *out, const char *name)
{
    uint8_t wire[NAME_WIRE_MAX], *p;
    size_t len = encode_name(name, wire);

    p = len > 1 ? put_record(out, DNS_TYPE_PTR, len) : NULL;
    if (!p)
        return 0;
    memcpy(p, wire, len);
    return 1;
}

static void put_opt(uint8_t *p, enum dns_rcode rcode)
{
    memset(p, 0, OPT_LEN);
    set16(p + 1, DNS_TYPE_OPT);
    set16(p + 3, DNS_LOCAL_ANSWER_MAX);
    p[5] = (uint8_t)(rcode >> 4);
}

size_t dns_build_answer(const struct dns_query *q, const struct dns_answer *answer, size_t limit,
                        uint8_t *out)
{
    size_t opt_len = q->edns ? OPT_LEN : 0;
    struct writer w = {.data = out, .len = DNS_HEADER_LEN};
    unsigned n;

    if (limit < DNS_UDP_DEFAULT)
        limit = DNS_UDP_DEFAULT;
    if (limit > DNS_LOCAL_ANSWER_MAX)
        limit = DNS_LOCAL_ANSWER_MAX;
    w.limit = limit - opt_len;
    memset(out, 0, DNS_HEADER_LEN);
    if (q->question_len > 0)
        memcpy(put(&w, q->question_len), q->question, q->question_len);
    n = q->type == DNS_TYPE_PTR ? put_name(&w, answer->name) : put_addresses(&w, answer);
    set16(out, q->id);
    set16(out + 2, FLAG_QR | FLAG_RA | (q->flags & (FLAG_OPCODE | FLAG_RD | FLAG_CD)) |
                       (answer->authoritative ? FLAG_AA : 0) | (w.truncated ? FLAG_TC : 0) |
                       (answer->rcode & 0xf));
    set16(out + 4, q->question_len > 0);
    set16(out + 6, n);
    set16(out + 10, q->edns);
    if (q->edns)
        put_opt(out + w.len, answer->rcode);
    return w.len + opt_len;
}

size_t dns_build_error(const struct dns_query *q, enum dns_rcode rcode, uint8_t *out)
{
    struct dns_answer answer = {.rcode = rcode};

    return dns_build_answer(q, &answer, DNS_UDP_DEFAULT, out);
}

/* ---- answers of others ---- */

bool dns_is_answer_to(const uint8_t *data, size_t len, const uint8_t *sent, size_t sent_len)
{
    struct reader question = {sent, sent_len, DNS_HEADER_LEN};
    uint16_t flags;
    size_t n;

    if (len < DNS_HEADER_LEN || sent_len < DNS_HEADER_LEN || skip_name(&question) < 0)
        return false;
    flags = get16(data + 2);
    n = question.at + QUESTION_TAIL;
    if (get16(data) != get16(sent) || !(flags & FLAG_QR) ||
        (flags & FLAG_OPCODE) != (get16(sent + 2) & FLAG_OPCODE) || get16(data + 4) != 1 ||
        n > sent_len || n > len)
        return false;
    /* Lengths of labels and the type are below 'A' or compared without harm: the same folding
     * applies to both, and what was sent is known to be well-formed. */
    for (size_t i = DNS_HEADER_LEN; i < question.at; i++) {
        if (tolower(data[i]) != tolower(sent[i]))
            return false;
    }
    return memcmp(data + question.at, sent + question.at, QUESTION_TAIL) == 0;
}

/* "x." for each half of a byte, the last first. */
bool dns_reverse6_name_parse(const char *name, uint8_t ret[DNS_IPV6_LEN])
{
    for (size_t i = 2 * DNS_IPV6_LEN; i-- > 0; name += 2) {
        int digit = *name;

        if (!isxdigit(digit) || name[1] != '.')
            return false;
        digit = digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
        ret[i / 2] = (uint8_t)(i % 2 ? digit : ret[i / 2] | digit << 4);
    }
    return strcasecmp(name, "ip6.arpa") == 0;
}

bool dns_reverse_name_parse(const char *name, uint32_t *ret)
{
    uint32_t address = 0;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t value = 0;
        size_t digits = strspn(name, "0123456789");

        if (digits == 0 || digits > 3 || (digits > 1 && name[0] == '0') || name[digits] != '.')
            return false;
        for (size_t k = 0; k < digits; k++)
            value = value * 10 + (uint32_t)(name[k] - '0');
        if (value > 255)
            return false;
        address |= value << (8 * i);
        name += digits + 1;
    }
    if (strcasecmp(name, "in-addr.arpa") != 0)
        return false;
    *ret = address;
    return true;
}
