/* ELF files and the loader's cache, as `ctlc image from-host` reads them. */
#include <sys/mman.h>
#include <unistd.h>

#include "elfinfo.h"
#include "fuzz.h"
#include "ldso.h"
#include "str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_elf_ struct elf_info e = {0};
    char **list;
    int fd = memfd_create("elf", MFD_CLOEXEC);

    promise(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    if (elf_read(fd, &e) > 0) {
        struct ldso_object o = {.dir = "/opt/lib", .elf = &e};
        struct ldso l = {.cache = (char *)data, .len = size};

        promise(e.bits == 32 || e.bits == 64);
        for (size_t i = 0; e.needed && e.needed[i]; i++) {
            list = ldso_candidates(&l, &o, e.needed[i]);
            for (size_t k = 0; list && list[k]; k++)
                promise(*list[k] == '/');
            strv_free(list);
        }
    }
    list = ldso_cached((const char *)data, size, "libc.so.6");
    for (size_t i = 0; list && list[i]; i++)
        promise(*list[i] == '/');
    strv_free(list);
    close(fd);
    return 0;
}
