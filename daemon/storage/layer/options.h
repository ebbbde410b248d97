/* What the command line says (layer_protocol.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "whole.h"

struct limits {
    int64_t max_bytes, max_entries;
};

/* Ids of a user namespace, as in /proc/<pid>/uid_map. */
#define ID_RANGES_MAX 16

struct id_map {
    struct {
        uint32_t inside, outside, count;
    } ranges[ID_RANGES_MAX];
    unsigned n; /* 0: ids are what they are */
};

struct options {
    struct limits limits;
    bool blob, keep, follow, tree, tell;
    struct base base;
    unsigned n_lowers;
    struct id_map uids, gids; /* of the directory, not of its lowers */
};

/* Over the defaults in *o. */
int options_parse(char *const *argv, struct options *o, struct err *reterr);

/* The id inside the namespace; 65534 for those it has not. */
uint32_t id_map_inside(const struct id_map *m, uint32_t outside);
