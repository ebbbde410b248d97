/* What the daemon says of itself and its host: /version, /info, the predefined networks. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api.h"
#include "fd.h"
#include "log.h"
#include "logsend.h"
#include "private.h"

#define OS_RELEASE_MAX 65536

/* A value of os-release(5), without its quotes; caller frees. */
static char *os_release(const char *key)
{
    _cleanup_free_ char *text = NULL;
    size_t n = strlen(key);
    char *line, *save = NULL;

    if (file_read(AT_FDCWD, "/etc/os-release", OS_RELEASE_MAX, &text) < 0 &&
        file_read(AT_FDCWD, "/usr/lib/os-release", OS_RELEASE_MAX, &text) < 0)
        return xstrdup("");
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *v = line + n + 1;
        size_t len;

        if (strncmp(line, key, n) != 0 || line[n] != '=')
            continue;
        len = strlen(v);
        if (len >= 2 && (*v == '"' || *v == '\'') && v[len - 1] == *v)
            return xstrndup(v + 1, len - 2);
        return xstrdup(v);
    }
    return xstrdup("");
}

static const char *go_arch(const char *machine)
{
    static const struct {
        const char *machine, *arch;
    } names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"}, {"i686", "386"}};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(names[i].machine, machine))
            return names[i].arch;
    }
    return machine;
}

json_t *engine_version(struct engine *e)
{
    struct utsname u;
    json_t *details;

    (void)e;
    uname(&u);
    details = json_pack("{s:s, s:s, s:s, s:s, s:s}", "ApiVersion", API_VERSION, "MinAPIVersion",
                        API_VERSION_MIN, "Os", "linux", "Arch", go_arch(u.machine), "KernelVersion",
                        u.release);
    return json_pack("{s:{s:s}, s:[{s:s, s:s, s:o}], s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}",
                     "Platform", "Name", "containerd-lite", "Components", "Name", "Engine",
                     "Version", CTL_VERSION, "Details", details, "Version", CTL_VERSION,
                     "ApiVersion", API_VERSION, "MinAPIVersion", API_VERSION_MIN, "GitCommit", "",
                     "GoVersion", "", "Os", "linux", "Arch", go_arch(u.machine), "KernelVersion",
                     u.release, "BuildTime", "");
}

static void count_containers(struct engine *e, json_t *info)
{
    int running = 0, paused = 0, stopped = 0;
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&e->by_id, &i));) {
        const struct container *c = m->value;

        running += c->status == STATUS_RUNNING;
        paused += c->status == STATUS_PAUSED;
        stopped += !container_is_up(c);
    }
    json_object_set_new(info, "Containers", json_integer(running + paused + stopped));
    json_object_set_new(info, "ContainersRunning", json_integer(running));
    json_object_set_new(info, "ContainersPaused", json_integer(paused));
    json_object_set_new(info, "ContainersStopped", json_integer(stopped));
}

static void describe_host(json_t *info)
{
    _cleanup_free_ char *name = os_release("PRETTY_NAME"), *version = os_release("VERSION_ID");
    _cleanup_free_ char *forward = NULL;
    char host[65] = "", now[TIME_STR_MAX];
    struct sysinfo si;
    struct utsname u;

    uname(&u);
    sysinfo(&si);
    gethostname(host, sizeof(host) - 1);
    time_format_nano(time_now_ns(), now);
    json_object_set_new(info, "Name", json_string(host));
    json_object_set_new(info, "KernelVersion", json_string(u.release));
    json_object_set_new(info, "OperatingSystem", json_string(name));
    json_object_set_new(info, "OSVersion", json_string(version));
    json_object_set_new(info, "OSType", json_string("linux"));
    json_object_set_new(info, "Architecture", json_string(u.machine));
    json_object_set_new(info, "NCPU", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(info, "MemTotal",
                        json_integer((json_int_t)si.totalram * (json_int_t)si.mem_unit));
    json_object_set_new(info, "SystemTime", json_string(now));
    file_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 16, &forward);
    json_object_set_new(info, "IPv4Forwarding", json_boolean(forward && *forward == '1'));
}

static json_t *strings(const char *const *v)
{
    return json_from_strv((char *const *)v);
}

static json_t *registry_config(const struct engine *e)
{
    json_t *mirrors = strings(e->config.registry_mirrors), *cidrs = json_pack("[s]", "127.0.0.0/8");
    json_t *index = json_pack("{s:{s:s, s:O, s:b, s:b}}", "docker.io", "Name", "docker.io",
                              "Mirrors", mirrors, "Secure", 1, "Official", 1);

    for (size_t i = 0; e->config.insecure_registries && e->config.insecure_registries[i]; i++) {
        const char *host = e->config.insecure_registries[i];

        if (strchr(host, '/'))
            json_array_append_new(cidrs, json_string(host));
        else
            json_object_set_new(index, host,
                                json_pack("{s:s, s:[], s:b, s:b}", "Name", host, "Mirrors",
                                          "Secure", 0, "Official", 0));
    }
    return json_pack("{s:o, s:o, s:o, s:[], s:[]}", "InsecureRegistryCIDRs", cidrs, "IndexConfigs",
                     index, "Mirrors", mirrors, "AllowNondistributableArtifactsCIDRs",
                     "AllowNondistributableArtifactsHostnames");
}

static void describe_engine(struct engine *e, json_t *info)
{
    json_t *parts = json_pack(
        "{s:s, s:s, s:s, s:o, s:i, s:{s:[], s:[s,s,s], s:n, s:o}, s:b, s:s, s:s, s:s}", "ID",
        e->daemon_id, "ServerVersion", CTL_VERSION, "Driver", storage_driver_name(e->storage),
        "DriverStatus", storage_driver_status(e->storage), "Images", images_count(e->images),
        "Plugins", "Volume", "Network", "bridge", "host", "null", "Authorization", "Log",
        log_driver_names(), "Debug", e->config.debug, "LoggingDriver",
        e->config.log_driver ? e->config.log_driver : "json-file", "DockerRootDir",
        e->config.data_root, "IndexServerAddress", "https://index.docker.io/v1/");

    json_object_update(info, parts);
    json_decref(parts);
    json_object_set_new(info, "RegistryConfig", registry_config(e));
    parts = json_pack(
        "{s:{s:{s:s}}, s:s, s:{s:s, s:s, s:b, s:s, s:n}, s:[s], s:b, s:s, s:{s:s}, s:{s:s}, "
        "s:{s:s}, s:[], s:b, s:s, s:s, s:s, s:i, s:i, s:i, s:b, s:n}",
        "Runtimes", "runc", "path", "containerd-lite-shim", "DefaultRuntime", "runc", "Swarm",
        "NodeID", "", "NodeAddr", "", "ControlAvailable", 0, "LocalNodeState", "inactive",
        "RemoteManagers", "SecurityOptions", "name=seccomp,profile=builtin", "LiveRestoreEnabled",
        1, "InitBinary", "containerd-lite-shim", "ContainerdCommit", "ID", "", "RuncCommit", "ID",
        "", "InitCommit", "ID", "", "Warnings", "ExperimentalBuild", (int)e->config.experimental,
        "HttpProxy", "", "HttpsProxy", "", "NoProxy", "", "NFd", 0, "NGoroutines", 0,
        "NEventsListener", (int)events_counts(e->events).subscribers, "BridgeNfIptables", 0,
        "GenericResources");
    json_object_update(info, parts);
    json_decref(parts);
    if (runtime_facts(e->runtime)->apparmor)
        json_array_insert_new(json_object_get(info, "SecurityOptions"), 0,
                              json_string("name=apparmor"));
    if (cgroup_is_unified(e->cgroup))
        json_array_append_new(json_object_get(info, "SecurityOptions"),
                              json_string("name=cgroupns"));
    json_object_set_new(info, "Labels", strings(e->config.labels));
}

void engine_reload(struct engine *e, const char *const *labels, bool debug)
{
    _cleanup_json_ json_t *list = strings(labels);
    _cleanup_free_ char *text = json_to_str(list);

    e->config.labels = labels;
    e->config.debug = debug;
    events_emit(e->events, "daemon", "reload", e->daemon_id, NULL,
                json_pack("{s:s, s:s}", "labels", text, "debug", debug ? "true" : "false"));
}

json_t *engine_info(struct engine *e)
{
    json_t *info = cgroup_info(e->cgroup);

    describe_engine(e, info);
    describe_host(info);
    count_containers(e, info);
    return info;
}
