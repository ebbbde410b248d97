/* The layer worker: unpacking and splitting, in a chroot on a tmpfs of its own mount namespace.
 *
 * Input that begins with '!' is an archive as it is.  Else each line is an entry "T name[>link]" of
 * type f, d, l (symlink), h (hard link), c, b or p, of which an archive is made: its checksums
 * would be too hard to guess.  The working directory stays outside of the chroot: there the corpus
 * is. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "fuzz.h"
#include "layer_protocol.h"
#include "path.h"
#include "split.h"
#include "unpack.h"

const char *__asan_default_options(void);

/* The leak checker reads /proc, which the chroot has not. */
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)argc, (void)argv;
    if (unshare(CLONE_NEWNS) < 0) {
        perror("fuzz_layer needs root");
        exit(77);
    }
    promise(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    promise(mount("tmpfs", "/mnt", "tmpfs", 0, "size=16m,nr_inodes=10k") == 0);
    promise(chroot("/mnt") == 0);
    promise(null >= 0 && dup2(null, LAYER_FD_REPORT) >= 0);
    umask(0);
    return 0;
}

static void clean(void)
{
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    promise(path_rm_rf(AT_FDCWD, "/t") == 0);
    promise(fstat(root, &st) == 0);
}

static void set_type(struct archive_entry *e, char type, const char *link)
{
    static const struct {
        char letter;
        mode_t type;
    } types[] = {{'f', AE_IFREG}, {'d', AE_IFDIR}, {'l', AE_IFLNK},
                 {'c', AE_IFCHR}, {'b', AE_IFBLK}, {'p', AE_IFIFO}};

    archive_entry_set_filetype(e, AE_IFREG);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (types[i].letter == type)
            archive_entry_set_filetype(e, types[i].type);
    }
    if (type == 'h')
        archive_entry_set_hardlink(e, link);
    if (type == 'l')
        archive_entry_set_symlink(e, link);
    archive_entry_set_size(e, type == 'f' ? 1 : 0);
    archive_entry_set_perm(e, type == 'd' ? 0755 : 0644);
}

static void add_entry(struct archive *a, char *line)
{
    struct archive_entry *e = archive_entry_new();
    char *link = strchr(line, '>');

    if (link)
        *link++ = '\0';
    archive_entry_set_pathname(e, line + 2);
    set_type(e, *line, link ?: "nothing");
    archive_entry_xattr_add_entry(e, "user.fuzz", line, 1);
    if (archive_write_header(a, e) >= ARCHIVE_WARN && *line == 'f')
        archive_write_data(a, "x", 1);
    archive_entry_free(e);
}

/* A memfd with the archive. */
static int make_archive(const uint8_t *data, size_t size)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);
    _cleanup_free_ char *text = NULL;
    struct archive *a;
    char *save, *line;

    promise(fd >= 0);
    if (size > 0 && *data == '!') {
        promise(fd_write_all(fd, data + 1, size - 1) == 0);
        return fd;
    }
    text = fuzz_text(data, size);
    a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    archive_write_open_fd(a, fd);
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (line[1] && line[1] == ' ')
            add_entry(a, line);
    }
    archive_write_free(a);
    return fd;
}

static void run(int fd, bool split)
{
    static const struct limits limits = {1 << 20, 1000};
    struct source_options opt = {
        .hashed = !split, .keep_fd = -EBADF, .follow_fd = -EBADF, .max_raw = 1 << 20};
    struct unpack_result res = {.bytes = 0};
    struct source *src = NULL;
    struct err e;
    int r;

    promise(lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, STDIN_FILENO) == 0);
    promise(source_new(&opt, &src, &e) == 0);
    promise(source_threads(src, &e) == 0);
    r = split ? split_archive(src, &limits, &res.bytes, &e)
              : unpack_layer(src, &limits, false, &res, &e);
    promise(r < 0 || res.bytes <= limits.max_bytes);
    source_free(src);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_close_ int fd = make_archive(data, size);

    run(fd, false);
    clean();
    run(fd, true);
    clean();
    return 0;
}
