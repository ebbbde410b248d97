/* manifest.json, index.json, manifests and configs of image archives.
 *
 * The input is texts separated by lines of "--".  The first is manifest.json (the others are then
 * "1", "2", ...), or, if it begins with '#', index.json of an OCI layout, whose blobs the others
 * are.  "@1" to "@9" in a text stand for the digest of a later one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "digest.h"
#include "fd.h"
#include "fuzz.h"
#include "manifest.h"
#include "path.h"

#define TEXTS_MAX 10

static int dir = -EBADF;
static char dir_path[] = "/tmp/ctl-fuzz-manifest-XXXXXX";

static void remove_dir(void)
{
    path_rm_rf(AT_FDCWD, dir_path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    promise(mkdtemp(dir_path));
    atexit(remove_dir);
    dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    promise(mkdirat(dir, "blobs", 0700) == 0 && mkdirat(dir, "blobs/sha256", 0700) == 0);
    return 0;
}

static size_t split(char *input, char *texts[TEXTS_MAX])
{
    size_t n = 0;

    while (n < TEXTS_MAX && input) {
        char *end = strstr(input, "\n--\n");

        texts[n++] = input;
        if (end)
            *end = '\0';
        input = end ? end + 4 : NULL;
    }
    return n;
}

/* With the digests put in; caller frees. */
static char *expand(const char *text, char digests[TEXTS_MAX][ID_LEN + 1], size_t self, size_t n)
{
    struct buf out = {0};

    for (; *text; text++) {
        size_t i = text[0] == '@' && text[1] >= '1' && text[1] <= '9' ? (size_t)(text[1] - '0') : 0;

        if (i > self && i < n) {
            buf_printf(&out, DIGEST_SHA256 "%s", digests[i]);
            text++;
        } else {
            buf_append(&out, text, 1);
        }
    }
    return buf_take_str(&out);
}

static void put(const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    promise(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0);
    fd_close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *input = fuzz_text(data, size);
    char *texts[TEXTS_MAX], names[TEXTS_MAX][128], digests[TEXTS_MAX][ID_LEN + 1];
    size_t n = split(input, texts);
    bool oci = texts[0][0] == '#';
    struct load_plan plan = {0};
    struct err e;

    for (size_t i = n; i-- > 0;) {
        _cleanup_free_ char *text = expand(texts[i] + (i == 0 && oci), digests, i, n);

        digest_sha256(text, strlen(text), digests[i]);
        if (i == 0)
            snprintf(names[i], sizeof(names[i]), "%s", oci ? "index.json" : "manifest.json");
        else if (oci)
            snprintf(names[i], sizeof(names[i]), "blobs/sha256/%s", digests[i]);
        else
            snprintf(names[i], sizeof(names[i]), "%zu", i);
        put(names[i], text);
    }
    if (load_plan_read(dir, &plan, &e) == 0) {
        promise(plan.n_images <= MANIFEST_IMAGES_MAX);
        for (size_t i = 0; i < plan.n_images; i++) {
            promise(strlen(plan.images[i].id) == ID_LEN && plan.images[i].config);
            for (size_t k = 0; k < plan.images[i].n_layers; k++)
                promise(plan.images[i].layers[k].blob);
        }
    }
    load_plan_done(&plan);
    for (size_t i = 0; i < n; i++)
        unlinkat(dir, names[i], 0);
    return 0;
}
