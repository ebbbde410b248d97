#include "info.h"

#include <stdio.h>
#include <string.h>

#include "csv.h"
#include "human.h"
#include "json.h"
#include "str.h"

static void print_text(const json_t *info, const char *key, const char *label)
{
    const char *s = json_get_str(info, key, NULL);

    if (!str_empty(s))
        printf(" %s: %s\n", label, s);
}

static void print_list(const char *label, const json_t *list)
{
    printf(" %s:%s", label, json_array_size(list) ? "" : " ");
    for (size_t i = 0; i < json_array_size(list); i++)
        printf(" %s", json_string_value(json_array_get(list, i)));
    printf("\n");
}

static void print_counts(const json_t *info)
{
    static const char *const keys[] = {"Running", "Paused", "Stopped"};

    printf(" Containers: %lld\n", (long long)json_get_int(info, "Containers", 0));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        _cleanup_free_ char *key = xasprintf("Containers%s", keys[i]);

        printf("  %s: %lld\n", keys[i], (long long)json_get_int(info, key, 0));
    }
    printf(" Images: %lld\n", (long long)json_get_int(info, "Images", 0));
}

static void print_driver(const json_t *info)
{
    const json_t *status = json_get(info, "DriverStatus");

    print_text(info, "ServerVersion", "Server Version");
    print_text(info, "Driver", "Storage Driver");
    for (size_t i = 0; i < json_array_size(status); i++) {
        const json_t *pair = json_array_get(status, i);

        printf("  %s: %s\n", json_string_value(json_array_get(pair, 0)),
               json_string_value(json_array_get(pair, 1)));
    }
    print_text(info, "LoggingDriver", "Logging Driver");
    print_text(info, "CgroupDriver", "Cgroup Driver");
    print_text(info, "CgroupVersion", "Cgroup Version");
}

static void print_plugins(const json_t *info)
{
    const json_t *plugins = json_get(info, "Plugins"), *runtimes = json_get(info, "Runtimes");
    const char *name;
    json_t *value;

    printf(" Plugins:\n ");
    print_list("Volume", json_get(plugins, "Volume"));
    printf(" ");
    print_list("Network", json_get(plugins, "Network"));
    if (json_array_size(json_get(plugins, "Log"))) {
        printf(" ");
        print_list("Log", json_get(plugins, "Log"));
    }
    print_text(json_get(info, "Swarm"), "LocalNodeState", "Swarm");
    printf(" Runtimes:");
    json_object_foreach ((json_t *)runtimes, name, value)
        printf(" %s", name);
    printf("\n");
    print_text(info, "DefaultRuntime", "Default Runtime");
    print_text(info, "InitBinary", "Init Binary");
}

/* "name=seccomp,profile=builtin" */
static void print_security(const json_t *info)
{
    const json_t *list = json_get(info, "SecurityOptions");

    if (json_array_size(list) == 0)
        return;
    printf(" Security Options:\n");
    for (size_t i = 0; i < json_array_size(list); i++) {
        char **fields = csv_split(json_string_value(json_array_get(list, i)));

        for (size_t k = 0; fields && fields[k]; k++) {
            const char *eq = strchr(fields[k], '=');

            if (str_starts(fields[k], "name="))
                printf("  %s\n", eq + 1);
            else if (eq)
                printf("   %c%.*s: %s\n", fields[k][0] & ~0x20, (int)(eq - fields[k] - 1),
                       fields[k] + 1, eq + 1);
        }
        strv_free(fields);
    }
}

static void print_host(const json_t *info)
{
    char memory[HUMAN_MAX];

    human_bytes((double)json_get_int(info, "MemTotal", 0), memory);
    print_text(info, "KernelVersion", "Kernel Version");
    print_text(info, "OperatingSystem", "Operating System");
    print_text(info, "OSType", "OSType");
    print_text(info, "Architecture", "Architecture");
    printf(" CPUs: %lld\n", (long long)json_get_int(info, "NCPU", 0));
    printf(" Total Memory: %s\n", memory);
    print_text(info, "Name", "Name");
    print_text(info, "ID", "ID");
    print_text(info, "DockerRootDir", "Docker Root Dir");
    printf(" Debug Mode: %s\n", json_get_bool(info, "Debug", false) ? "true" : "false");
}

static void print_registries(const json_t *info)
{
    const json_t *config = json_get(info, "RegistryConfig");
    const json_t *insecure = json_get(config, "InsecureRegistryCIDRs");
    const json_t *mirrors = json_get(config, "Mirrors"), *labels = json_get(info, "Labels");

    for (size_t i = 0; i < json_array_size(labels); i++)
        printf("%s  %s\n", i ? "" : " Labels:\n", json_string_value(json_array_get(labels, i)));
    printf(" Experimental: %s\n",
           json_get_bool(info, "ExperimentalBuild", false) ? "true" : "false");
    for (size_t i = 0; i < json_array_size(insecure); i++)
        printf("%s  %s\n", i ? "" : " Insecure Registries:\n",
               json_string_value(json_array_get(insecure, i)));
    for (size_t i = 0; i < json_array_size(mirrors); i++)
        printf("%s  %s\n", i ? "" : " Registry Mirrors:\n",
               json_string_value(json_array_get(mirrors, i)));
    printf(" Live Restore Enabled: %s\n\n",
           json_get_bool(info, "LiveRestoreEnabled", false) ? "true" : "false");
}

static void print_commits(const json_t *info)
{
    static const struct {
        const char *key, *label;
    } commits[] = {
        {"ContainerdCommit", "containerd"}, {"RuncCommit", "runc"}, {"InitCommit", "init"}};

    for (size_t i = 0; i < ARRAY_SIZE(commits); i++) {
        const json_t *commit = json_get(info, commits[i].key);

        if (commit)
            printf(" %s version: %s\n", commits[i].label, json_get_str(commit, "ID", ""));
    }
}

void info_print(const json_t *info)
{
    const json_t *warnings = json_get(info, "Warnings");

    print_counts(info);
    print_driver(info);
    print_plugins(info);
    print_commits(info);
    print_security(info);
    print_host(info);
    print_registries(info);
    fflush(stdout);
    for (size_t i = 0; i < json_array_size(warnings); i++)
        fprintf(stderr, "%s\n", json_string_value(json_array_get(warnings, i)));
}
