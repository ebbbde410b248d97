/* The namespace modes of HostConfig. */
#include <string.h>

#include "json.h"
#include "runtime.h"
#include "str.h"

static const struct {
    const char *key;
    bool joinable; /* container:X */
} modes[RUNTIME_NS_N] = {
    [RUNTIME_NS_PID] = {"PidMode", true},          [RUNTIME_NS_IPC] = {"IpcMode", true},
    [RUNTIME_NS_UTS] = {"UTSMode", false},         [RUNTIME_NS_NET] = {"NetworkMode", true},
    [RUNTIME_NS_CGROUP] = {"CgroupnsMode", false}, [RUNTIME_NS_USER] = {"UsernsMode", false},
};

enum runtime_ns_mode runtime_ns_mode(const json_t *host_config, enum runtime_ns which,
                                     const char **ret_target)
{
    const char *mode = json_get_str(host_config, modes[which].key, "");

    if (ret_target)
        *ret_target = NULL;
    if (!*mode)
        return RUNTIME_NS_PRIVATE;
    if (streq(mode, "host"))
        return RUNTIME_NS_HOST;
    if (str_starts(mode, "container:") && modes[which].joinable) {
        if (!mode[strlen("container:")])
            return RUNTIME_NS_INVALID;
        if (ret_target)
            *ret_target = mode + strlen("container:");
        return RUNTIME_NS_CONTAINER;
    }
    switch (which) {
    case RUNTIME_NS_IPC:
        if (streq(mode, "none"))
            return RUNTIME_NS_NONE;
        if (streq(mode, "shareable"))
            return RUNTIME_NS_SHAREABLE;
        return streq(mode, "private") ? RUNTIME_NS_PRIVATE : RUNTIME_NS_INVALID;
    case RUNTIME_NS_NET:
        return streq(mode, "none") ? RUNTIME_NS_NONE : RUNTIME_NS_PRIVATE;
    case RUNTIME_NS_CGROUP:
        return streq(mode, "private") ? RUNTIME_NS_PRIVATE : RUNTIME_NS_INVALID;
    case RUNTIME_NS_USER:
        return streq(mode, "private") || streq(mode, "auto") ? RUNTIME_NS_PRIVATE
                                                             : RUNTIME_NS_INVALID;
    default:
        return RUNTIME_NS_INVALID;
    }
}
