/* Every command: its options, defaults and function, as the table in commands.c joins them. */
#pragma once

#include "cli.h"

#define FORMAT_HELP                                                                                \
    "Format output using a custom template:\n"                                                     \
    "'table':            Print output in table format with column headers (default)\n"             \
    "'table TEMPLATE':   Print output in table format using the given Go template\n"               \
    "'json':             Print in JSON format\n"                                                   \
    "'TEMPLATE':         Print output using the given Go template."
#define FORMAT_HELP_SHORT                                                                          \
    "Format output using a custom template:\n"                                                     \
    "'json':             Print in JSON format\n"                                                   \
    "'TEMPLATE':         Print output using the given Go template."

/* run.c, run_options.c */
struct run_options {
    const char *name, *platform, *pull, *cidfile, *detach_keys, *entrypoint, *restart;
    const char *health_cmd, *pid_mode, *uts_mode, *userns_mode, *cgroupns_mode, *ip, *ip6;
    const char *mac_address, *log_driver, *workdir;
    char **attach, **env, **env_files, **labels, **label_files, **publish, **expose, **volumes;
    char **tmpfs, **devices, **networks, **aliases, **links, **link_local, **security, **storage;
    char **log_opts;
    bool detach, tty, interactive, quiet, rm, sig_proxy, no_healthcheck;
    bool no_content_trust, use_api_socket;
    int64_t swappiness;
};
extern const struct opt create_opts[], run_only_opts[], create_only_opts[];
extern const struct run_options run_defaults;
int cmd_run(struct invocation *inv);
int cmd_create(struct invocation *inv);

/* start.c */
struct start_options {
    const char *detach_keys, *checkpoint, *checkpoint_dir;
    bool attach, interactive;
};
extern const struct opt start_opts[];
int cmd_start(struct invocation *inv);
struct attach_options {
    const char *detach_keys;
    bool no_stdin, sig_proxy;
};
extern const struct opt attach_opts[];
extern const struct attach_options attach_defaults;
int cmd_attach(struct invocation *inv);

/* exec.c */
struct exec_options {
    const char *detach_keys;
    char **env, **env_files;
    bool detach, interactive, tty;
};
extern const struct opt exec_opts[];
int cmd_exec(struct invocation *inv);

/* ps.c */
struct ps_options {
    char **filters;
    const char *format;
    int64_t last;
    bool all, latest, no_trunc, quiet, size;
};
extern const struct opt ps_opts[];
extern const struct ps_options ps_defaults;
int cmd_ps(struct invocation *inv);

/* logs.c */
struct logs_options {
    const char *since, *until, *tail;
    bool details, follow, timestamps;
};
extern const struct opt logs_opts[];
extern const struct logs_options logs_defaults;
int cmd_logs(struct invocation *inv);

/* containers.c */
struct stop_options {
    const char *signal;
    int64_t timeout;
};
struct update_options {
    const char *restart;
};
struct rm_options {
    bool force, link, volumes;
};
extern const struct opt stop_opts[], kill_opts[], rm_opts[], update_opts[];
extern const struct stop_options stop_defaults;
int cmd_stop(struct invocation *inv);
int cmd_restart(struct invocation *inv);
int cmd_kill(struct invocation *inv);
int cmd_rm(struct invocation *inv);
int cmd_pause(struct invocation *inv);
int cmd_unpause(struct invocation *inv);
int cmd_rename(struct invocation *inv);
int cmd_wait(struct invocation *inv);
int cmd_top(struct invocation *inv);
int cmd_port(struct invocation *inv);
int cmd_diff(struct invocation *inv);

/* from_host.c */
struct from_host_options {
    char **changes;
    const char *message;
};
extern const struct opt from_host_opts[];
int cmd_from_host(struct invocation *inv);

/* build.c */
struct build_options {
    char **add_hosts, **args, **cache_from, **labels, **security, **tags, **ulimits;
    const char *cgroup_parent, *cpu_period, *cpu_quota, *cpu_shares, *cpuset_cpus, *cpuset_mems;
    const char *file, *iidfile, *memory, *memory_swap, *network, *platform, *shm_size, *target;
    bool compress, force_rm, no_cache, pull, quiet, rm, squash;
};
extern const struct opt build_opts[];
int cmd_build(struct invocation *inv);

/* commit.c */
struct commit_options {
    char **changes;
    const char *author, *message;
    bool pause, no_pause;
};
extern const struct opt commit_opts[];
extern const struct commit_options commit_defaults;
int cmd_commit(struct invocation *inv);

/* copy.c */
struct cp_options {
    bool archive, follow_link, quiet;
};
extern const struct opt cp_opts[];
int cmd_cp(struct invocation *inv);

int cmd_update(struct invocation *inv);

/* inspect.c */
struct inspect_options {
    const char *format, *type, *platform;
    bool size, verbose;
};
extern const struct opt inspect_opts[], inspect_container_opts[], inspect_image_opts[],
    inspect_network_opts[], inspect_other_opts[];
int cmd_inspect(struct invocation *inv);
int cmd_inspect_container(struct invocation *inv);
int cmd_inspect_image(struct invocation *inv);
int cmd_inspect_network(struct invocation *inv);
int cmd_inspect_volume(struct invocation *inv);

/* manifest.c */
struct manifest_options {
    bool insecure, verbose;
};
extern const struct opt manifest_inspect_opts[];
int cmd_manifest_inspect(struct invocation *inv);

/* manifest_lists.c */
struct manifest_create_options {
    bool amend, insecure;
};
struct manifest_annotate_options {
    const char *arch, *os, *version, *variant;
    char **features;
};
struct manifest_push_options {
    bool insecure, purge;
};
extern const struct opt manifest_create_opts[], manifest_annotate_opts[], manifest_push_opts[];
int cmd_manifest_create(struct invocation *inv);
int cmd_manifest_annotate(struct invocation *inv);
int cmd_manifest_push(struct invocation *inv);
int cmd_manifest_rm(struct invocation *inv);

/* images.c, image_list.c */
struct images_options {
    char **filters;
    const char *format;
    bool all, digests, no_trunc, quiet, tree;
};
struct history_options {
    const char *format, *platform;
    bool human, no_trunc, quiet;
};
struct rmi_options {
    char **platforms;
    bool force, no_prune;
};
extern const struct opt images_opts[], history_opts[], rmi_opts[];
extern const struct history_options history_defaults;
int cmd_images(struct invocation *inv);
int cmd_history(struct invocation *inv);
int cmd_rmi(struct invocation *inv);
int cmd_tag(struct invocation *inv);

/* image_io.c */
struct load_options {
    const char *input, *platform;
    bool quiet;
};
struct import_options {
    const char *message, *platform;
    char **changes;
};
struct pull_options {
    const char *platform;
    bool all_tags, quiet, no_content_trust;
};
struct save_options {
    const char *output, *platform;
};
extern const struct opt load_opts[], import_opts[], pull_opts[], save_opts[], export_opts[];
int cmd_load(struct invocation *inv);
int cmd_import(struct invocation *inv);
int cmd_pull(struct invocation *inv);
int cmd_push(struct invocation *inv);
int cmd_save(struct invocation *inv);
/* POST what fd yields (< 0: nothing) and show the progress that comes back. */
int upload_image(struct client *c, const char *url, int fd, struct err *reterr);
int cmd_export(struct invocation *inv);

/* login.c */
struct login_options {
    const char *username, *password;
    bool password_stdin;
};
struct search_options {
    char **filters;
    const char *format;
    int64_t limit;
    bool no_trunc;
};
extern const struct opt login_opts[], search_opts[];
extern const struct search_options search_defaults;
int cmd_login(struct invocation *inv);
int cmd_logout(struct invocation *inv);
int cmd_search(struct invocation *inv);

/* prune.c */
struct prune_options {
    char **filters;
    int64_t keep; /* bytes */
    bool all, force, volumes;
};
extern const struct opt prune_opts[], prune_build_opts[], prune_image_opts[], prune_system_opts[];
int cmd_prune_containers(struct invocation *inv);
int cmd_prune_images(struct invocation *inv);
int cmd_prune_volumes(struct invocation *inv);
int cmd_prune_networks(struct invocation *inv);
int cmd_prune_build(struct invocation *inv);
int cmd_prune_system(struct invocation *inv);

/* system.c */
struct format_options {
    const char *format;
};
extern const struct opt format_opts[];
int cmd_version(struct invocation *inv);
int cmd_info(struct invocation *inv);

/* events.c */
struct events_options {
    char **filters;
    const char *format, *since, *until;
};
extern const struct opt events_opts[];
int cmd_events(struct invocation *inv);

/* volumes.c */
struct checkpoint_options {
    const char *dir;
    bool leave_running;
};
extern const struct opt checkpoint_create_opts[], checkpoint_opts[];
int cmd_checkpoint_create(struct invocation *inv);
int cmd_checkpoint_ls(struct invocation *inv);
int cmd_checkpoint_rm(struct invocation *inv);

struct volume_options {
    const char *driver, *name;
    char **labels, **driver_opts;
    bool force;
};
extern const struct opt volume_create_opts[], volume_rm_opts[], volume_prune_opts[];
int cmd_volume_create(struct invocation *inv);
int cmd_volume_rm(struct invocation *inv);

/* networks.c */
struct network_options {
    const char *driver;
    char **subnets, **ranges, **gateways, **aux, **labels, **driver_opts, **routes;
    bool force;
};
extern const struct opt network_create_opts[], network_connect_opts[], network_disconnect_opts[],
    network_rm_opts[];
int cmd_network_create(struct invocation *inv);
int cmd_network_connect(struct invocation *inv);
int cmd_network_disconnect(struct invocation *inv);
int cmd_network_rm(struct invocation *inv);

/* stats.c */
struct stats_options {
    const char *format;
    bool all, no_stream, no_trunc;
};
extern const struct opt stats_opts[];
int cmd_stats(struct invocation *inv);

/* lists.c */
struct list_options {
    char **filters;
    const char *format;
    bool no_trunc, quiet;
};
extern const struct opt network_ls_opts[], volume_ls_opts[];
int cmd_network_ls(struct invocation *inv);
int cmd_volume_ls(struct invocation *inv);

/* fsck.c */
struct fsck_options {
    bool repair;
};
extern const struct opt fsck_opts[];
int cmd_system_fsck(struct invocation *inv);

/* df.c */
struct df_options {
    const char *format;
    bool verbose;
};
extern const struct opt df_opts[];
int cmd_system_df(struct invocation *inv);

/* complete.c */
int cmd_completion(struct invocation *inv);
int cmd_manual(struct invocation *inv); /* manual.c */
int cmd_complete(struct invocation *inv);

/* compose.c, dial.c */
int cmd_compose(struct invocation *inv);
int cmd_dial_stdio(struct invocation *inv);
