/* Device nodes of a container and the access rules that belong to them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cgroup.h"
#include "err.h"
#include "mem.h"

struct device {
    char *host;  /* owned; path on the host */
    char *path;  /* owned; path in the container */
    mode_t mode; /* with S_IFMT */
    dev_t rdev;
    uid_t uid;
    gid_t gid;
};

struct device_list {
    struct device *devices;
    size_t n;
    struct cgroup_device *rules; /* the fixed ones, then those of devices and DeviceCgroupRules */
    size_t n_rules;
    bool all; /* privileged: no rules at all */
};

#define _cleanup_devices_ _cleanup_(device_list_done)

/* Default nodes, HostConfig's Devices (directories are walked), all of the host's when privileged.
 * Looks at the host's /dev.  tty: /dev/console is the console's and never a host device. */
int device_list_build(const json_t *host_config, struct device_list *ret, struct err *reterr);
void device_list_done(struct device_list *list);

/* "c 1:3 rwm" with * for numbers; false if malformed. */
bool device_rule_parse(const char *text, struct cgroup_device *ret);
/* "rwm" in any order, each at most once; 0 if malformed. */
unsigned device_access_parse(const char *text);
