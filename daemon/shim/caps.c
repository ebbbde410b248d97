#include "caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>

#include "sys.h"

#define BIT(n) (UINT64_C(1) << (n))

typedef struct __user_cap_data_struct cap_data;

int caps_bound(uint64_t mask)
{
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (mask & BIT(cap))
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            /* EINVAL: beyond the last one this kernel knows. */
            if (errno == EINVAL)
                return 0;
            return -errno;
        }
    }
    return 0;
}

static uint64_t joined(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

int caps_apply(uint64_t permitted, uint64_t inheritable, uint64_t ambient)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    cap_data data[2];
    uint64_t have;

    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    have = joined(data[0].permitted, data[1].permitted);
    permitted &= have;
    inheritable &= have;
    ambient &= permitted & inheritable;
    for (int i = 0; i < 2; i++) {
        data[i].permitted = data[i].effective = (uint32_t)(permitted >> (32 * i));
        data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
    }
    if (syscall(SYS_capset, &head, data) < 0)
        return -errno;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned long cap = 0; cap < 64; cap++) {
        if ((ambient & BIT(cap)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    }
    return 0;
}
