/* A user's name against an image's /etc/passwd and /etc/group: "spec\n--\npasswd\n--\ngroup". */
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "fuzz.h"
#include "user.h"

static int file_of(const char *text)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    promise(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char none[] = "";
    static struct user_ids ids;
    _cleanup_free_ char *spec = fuzz_text(data, size);
    char *passwd = strstr(spec, "\n--\n"), *group = passwd ? strstr(passwd + 4, "\n--\n") : NULL;
    _cleanup_close_ int p = file_of(passwd ? passwd + 4 : none);
    _cleanup_close_ int g = file_of(group ? group + 4 : none);
    struct err e;

    if (passwd)
        *passwd = '\0';
    memset(&ids, 0xff, sizeof(ids));
    if (user_resolve(spec, p, g, &ids, &e) == 0) {
        promise(ids.uid <= USER_ID_MAX && ids.gid <= USER_ID_MAX);
        promise(ids.groups <= USER_GROUPS_MAX);
        promise(memchr(ids.home, 0, sizeof(ids.home)));
        lseek(g, 0, SEEK_SET);
        user_add_group(&ids, spec, g, &e);
        promise(ids.groups <= USER_GROUPS_MAX);
    }
    return 0;
}
