/* The daemon's configuration: built-in defaults, overridden by the configuration file, overridden
 * by the command line.  Names are dockerd's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define OPTIONS_CONFIG_FILE "/etc/containerd-lite/daemon.json"

struct options {
    /* All owned; vectors for strv_free(). */
    char **hosts;
    char *data_root, *exec_root, *config_file, *pidfile, *log_level;
    char *bridge, *bip, *ip, *cgroup_parent, *storage_driver, *registry_certs, *log_driver,
        *build_download_limit;
    int64_t build_download_max; /* bytes, what that says */
    char **log_opts;            /* key=value */
    char **address_pools;       /* base=NET,size=N */
    char **dns, **dns_search, **dns_options;
    char **registry_mirrors, **insecure_registries, **labels, **exec_opts;
    int mtu;
    bool debug, init, proc_view, publish_obeys_input, validate, version, help, no_favordynmods,
        systemd_cgroup, experimental;
    bool config_given; /* the file was named: it must exist */
};

/* 0, or -EINVAL with the text for the user. */
int options_parse(int argc, char **argv, struct options *ret, struct err *reterr);
void options_done(struct options *o);
void options_usage(void);
