#include "platform.h"

#include <sys/utsname.h>

#include "mem.h"
#include "str.h"

static const struct {
    const char *machine, *arch;
} archs[] = {
    {"x86_64", "amd64"}, {"aarch64", "arm64"},   {"i686", "386"},        {"armv7l", "arm"},
    {"armv6l", "arm"},   {"ppc64le", "ppc64le"}, {"riscv64", "riscv64"}, {"s390x", "s390x"},
};

const char *platform_arch(void)
{
    static struct utsname u; /* the same on every call and thread */

    uname(&u);
    for (size_t i = 0; i < ARRAY_SIZE(archs); i++) {
        if (streq(archs[i].machine, u.machine))
            return archs[i].arch;
    }
    return u.machine;
}
