/* Shared by the files that make up the ruleset; nobody else includes this. */
#pragma once

#include "ruleset.h"

/* What differs between the tables of the two families. */
struct family {
    uint8_t nfproto;
    uint8_t address_len, saddr_offset, daddr_offset;
    uint32_t address_type; /* nft(8)'s number */
    uint32_t after;        /* the register behind an address at NFT_REG_1 */
};

/* NFPROTO_IPV6, or else IPv4's. */
const struct family *family_of(uint8_t nfproto);

/* sets.c: append the sets and maps, empty but for the port of the relay in the batch's family. */
void sets_put(struct nl_batch *batch, const char *table, const struct ruleset *ruleset);
/* Append what lets a table that is there lead to this process's relay. */
void sets_put_relay(struct nl_batch *batch, const char *table, const struct ruleset *ruleset);

/* rules.c: append chains and rules, behind the sets that they name. */
void rules_put(struct nl_batch *batch, const char *table, const struct ruleset *ruleset);
