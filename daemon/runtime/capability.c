#include "capability.h"

#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "str.h"

static const char *const names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

const uint64_t caps_default =
    CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_FOWNER) |
    CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_NET_RAW) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETUID) |
    CAP_BIT(CAP_SETFCAP) | CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_NET_BIND_SERVICE) |
    CAP_BIT(CAP_SYS_CHROOT) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_AUDIT_WRITE);

uint64_t caps_all(void)
{
    return CAP_BIT(ARRAY_SIZE(names)) - 1;
}

int caps_parse(const char *name)
{
    if (strncasecmp(name, "CAP_", 4) == 0)
        name += 4;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcasecmp(names[i] + 4, name) == 0)
            return (int)i;
    }
    return -ENOENT;
}

const char *caps_name(int cap)
{
    return cap >= 0 && (size_t)cap < ARRAY_SIZE(names) ? names[cap] : NULL;
}

/* Docker names it in its own spelling: upper case with the prefix. */
static int unknown(const char *name, const char *verb, struct err *reterr)
{
    char upper[64];
    size_t i;

    for (i = 0; name[i] && i < sizeof(upper) - 1; i++)
        upper[i] = (char)toupper((unsigned char)name[i]);
    upper[i] = '\0';
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid %s: unknown capability: \"%s%s\"", verb,
                   str_starts(upper, "CAP_") ? "" : "CAP_", upper);
}

int caps_parse_list(const json_t *list, const char *verb, uint64_t *ret, bool *ret_all,
                    struct err *reterr)
{
    const json_t *item;
    uint64_t mask = 0;
    bool all = false;
    size_t i;

    json_array_foreach (list, i, item) {
        const char *name = json_is_string(item) ? json_string_value(item) : "";
        int cap = caps_parse(name);

        if (strcasecmp(name, "ALL") == 0 || strcasecmp(name, "CAP_ALL") == 0)
            all = true;
        else if (cap >= 0)
            mask |= CAP_BIT(cap);
        else
            return unknown(name, verb, reterr);
    }
    *ret = mask;
    *ret_all = all;
    return 0;
}

int caps_resolve(const json_t *host_config, uint64_t bounding, uint64_t *ret, uint64_t *ret_missing,
                 struct err *reterr)
{
    uint64_t add, drop, want;
    bool add_all, drop_all;
    int r;

    r = caps_parse_list(json_get(host_config, "CapAdd"), "CapAdd", &add, &add_all, reterr);
    if (r >= 0)
        r = caps_parse_list(json_get(host_config, "CapDrop"), "CapDrop", &drop, &drop_all, reterr);
    if (r < 0)
        return r;
    if (json_get_bool(host_config, "Privileged", false))
        want = caps_all();
    else if (add_all)
        want = caps_all() & ~drop;
    else if (drop_all)
        want = add;
    else
        want = (caps_default & ~drop) | add;
    *ret = want & bounding;
    *ret_missing = want & ~bounding;
    return 0;
}
