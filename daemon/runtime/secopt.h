/* HostConfig.SecurityOpt, parsed. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "err.h"

struct secopt {
    bool no_new_privileges;
    bool seccomp_unconfined;
    const char *seccomp_json; /* borrowed; NULL: the default profile */
    bool systempaths_unconfined;
    const char *apparmor; /* borrowed; NULL: none is named */
    bool ignored_label;   /* asked for, has no effect here */
};

int secopt_parse(const json_t *host_config, struct secopt *ret, struct err *reterr);
