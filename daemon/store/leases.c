#include "leases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "column.h"
#include "str.h"

static const struct {
    uint8_t proto;
    const char *name;
} protocols[] = {
    {IPPROTO_TCP, "tcp"},
    {IPPROTO_UDP, "udp"},
    {IPPROTO_SCTP, "sctp"},
};

const char *proto_name(uint8_t proto)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (protocols[i].proto == proto)
            return protocols[i].name;
    }
    return NULL;
}

int proto_parse(const char *name, uint8_t *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (name && streq(protocols[i].name, name)) {
            *ret = protocols[i].proto;
            return 0;
        }
    }
    return -EINVAL;
}

bool lease_on_any(const struct port_lease *lease)
{
    static const uint8_t any[sizeof(lease->host_ip6)];

    return lease->family == AF_INET6 ? memcmp(lease->host_ip6, any, sizeof(any)) == 0
                                     : lease->host_ip == INADDR_ANY;
}

bool lease_on_ipv4(const struct port_lease *lease)
{
    return lease->family != AF_INET6;
}

bool lease_on_ipv6(const struct port_lease *lease)
{
    return lease->family == AF_INET6 || (lease->family == 0 && lease_on_any(lease));
}

void lease_format_ip(const struct port_lease *lease, char ret[LEASE_IP_MAX])
{
    struct in_addr in = {htonl(lease->host_ip)};

    if (lease->family == AF_INET6)
        inet_ntop(AF_INET6, lease->host_ip6, ret, LEASE_IP_MAX);
    else
        inet_ntop(AF_INET, &in, ret, LEASE_IP_MAX);
}

/* In the table: any address of both families. */
#define BOTH "*"

static int parse_ip(const char *text, struct port_lease *lease)
{
    struct in_addr in = {0};

    if (streq(text, BOTH))
        return 0;
    if (inet_pton(AF_INET6, text, lease->host_ip6) == 1) {
        lease->family = AF_INET6;
        return 0;
    }
    if (inet_pton(AF_INET, text, &in) != 1)
        return -EINVAL;
    lease->family = AF_INET;
    lease->host_ip = ntohl(in.s_addr);
    return 0;
}

int leases_address_add(struct db *db, const char *network, uint32_t address,
                       const char *container_id, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO addresses(network, address, container_id) VALUES(?, ?, ?)",
                           "sis", network, (int64_t)address, container_id),
                  reterr);
}

/* A query whose answer is one number or none: 1 or 0. */
static int one_number(struct db *db, sqlite3_stmt *st, uint32_t *ret, struct err *reterr)
{
    int r = db_step(db, st, reterr);

    if (r <= 0)
        return r;
    *ret = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 1;
}

int leases_address_free(struct db *db, const char *network, uint32_t from, uint32_t to,
                        uint32_t *ret, struct err *reterr)
{
    uint32_t address;
    int r;

    if (from > to)
        return 0;
    r = one_number(db,
                   db_query(db, "SELECT 1 FROM addresses WHERE network=? AND address=?", "si",
                            network, (int64_t)from),
                   &address, reterr);
    if (r < 0)
        return r;
    if (r == 0) {
        *ret = from;
        return 1;
    }
    /* The end of the run of taken addresses that begins at `from`. */
    r = one_number(db,
                   db_query(db,
                            "SELECT a.address + 1 FROM addresses a WHERE a.network=? AND"
                            " a.address>=? AND a.address<? AND NOT EXISTS(SELECT 1 FROM addresses b"
                            " WHERE b.network=a.network AND b.address=a.address + 1)"
                            " ORDER BY a.address LIMIT 1",
                            "sii", network, (int64_t)from, (int64_t)to),
                   &address, reterr);
    if (r == 1)
        *ret = address;
    return r;
}

int leases_address_max(struct db *db, const char *network, uint32_t *ret, struct err *reterr)
{
    return one_number(db,
                      db_query(db,
                               "SELECT address FROM addresses WHERE network=?"
                               " ORDER BY address DESC LIMIT 1",
                               "s", network),
                      ret, reterr);
}

int leases_address_get(struct db *db, const char *network, const char *container_id, uint32_t *ret,
                       struct err *reterr)
{
    return one_number(db,
                      db_query(db,
                               "SELECT address FROM addresses WHERE container_id=? AND network=?",
                               "ss", container_id, network),
                      ret, reterr);
}

int leases_address_drop(struct db *db, const char *network, const char *container_id,
                        struct err *reterr)
{
    return db_run(db,
                  db_query(db, "DELETE FROM addresses WHERE container_id=? AND network=?", "ss",
                           container_id, network),
                  reterr);
}

int leases_address_holders(struct db *db, struct lease_holder **ret, size_t *ret_n,
                           struct err *reterr)
{
    sqlite3_stmt *st = db_query(db, "SELECT network, container_id FROM addresses", NULL);
    struct lease_holder *list = NULL;
    size_t n = 0;
    int r;

    while ((r = db_step(db, st, reterr)) > 0) {
        list = xrealloc(list, (n + 1) * sizeof(*list));
        list[n] = (struct lease_holder){.network = db_column_dup(st, 0)};
        column_copy_id(st, 1, list[n++].container_id);
    }
    *ret = list;
    *ret_n = n;
    return r;
}

int leases_address_drop_all(struct db *db, const char *container_id, struct err *reterr)
{
    return db_run(db, db_query(db, "DELETE FROM addresses WHERE container_id=?", "s", container_id),
                  reterr);
}

int leases_port_add(struct db *db, const struct port_lease *lease, const char *container_id,
                    struct err *reterr)
{
    char ip[LEASE_IP_MAX] = BOTH;
    int r;

    if (!lease_on_ipv4(lease) || !lease_on_ipv6(lease))
        lease_format_ip(lease, ip);
    r = db_run(db,
               db_query(db,
                        "INSERT INTO ports(proto, host_port, host_ip, container_port,"
                        " container_id) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS(SELECT 1 FROM"
                        " ports WHERE proto=?1 AND host_port=?2 AND"
                        " (host_ip=?3 OR host_ip='*' OR ?3='*' OR ((host_ip IN('0.0.0.0', '::')"
                        " OR ?3 IN('0.0.0.0', '::')) AND (host_ip LIKE '%:%')=(?3 LIKE"
                        " '%:%'))))",
                        "sisis", proto_name(lease->proto), (int64_t)lease->host_port, ip,
                        (int64_t)lease->container_port, container_id),
               reterr);
    if (r < 0)
        return r;
    return db_changes(db) > 0 ? 0 : -EEXIST;
}

int leases_port_list(struct db *db, const char *container_id, struct port_lease **ret,
                     size_t *ret_n, struct err *reterr)
{
    sqlite3_stmt *st = db_query(db,
                                "SELECT proto, host_port, host_ip, container_port FROM ports"
                                " WHERE container_id=? ORDER BY proto, host_port",
                                "s", container_id);
    _cleanup_free_ struct port_lease *list = NULL;
    size_t n = 0;
    int r;

    while ((r = db_step(db, st, reterr)) > 0) {
        const char *proto = (const char *)sqlite3_column_text(st, 0);
        const char *ip = (const char *)sqlite3_column_text(st, 2);
        struct port_lease lease = {.host_port = sqlite3_column_int(st, 1),
                                   .container_port = sqlite3_column_int(st, 3)};

        /* A row in a form that only a newer version writes is not ours to publish. */
        if (proto_parse(proto, &lease.proto) < 0 || parse_ip(ip, &lease) < 0)
            continue;
        list = xrealloc(list, (n + 1) * sizeof(*list));
        list[n++] = lease;
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(list);
    *ret_n = n;
    return 0;
}

int leases_port_drop(struct db *db, const char *container_id, struct err *reterr)
{
    return db_run(db, db_query(db, "DELETE FROM ports WHERE container_id=?", "s", container_id),
                  reterr);
}
