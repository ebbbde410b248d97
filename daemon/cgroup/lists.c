/* Knobs that are lists: one write an entry. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "json.h"
#include "knobs.h"
#include "netclass.h"
#include "str.h"

#define BLKIO_WEIGHT_MIN 10
#define BLKIO_WEIGHT_MAX 1000

static bool has_weight(const struct cgroup *cg)
{
    return cgroup_feature(cg, FEATURE_BLK_BFQ_WEIGHT) || cgroup_feature(cg, FEATURE_BLK_WEIGHT);
}

uint64_t cgroup_blkio_to_io_weight(uint64_t weight)
{
    return weight < 10 ? 0 : 1 + (weight - 10) * 9999 / 990;
}

/* Where a program does it, cgroup_plan() attaches that. */
int limit_net_class(struct limits *l, const struct knob *k)
{
    if (cgroup_feature(l->cg, FEATURE_NET_CLS))
        limits_emit_int(l, k->controller, k->v1, limits_int(l, k->key));
    else if (!netclass_by_program(l->cg))
        limits_warn(l, "Your kernel does not support network classes or the cgroup is not "
                       "mounted. Network class discarded.");
    return 0;
}

/* ---- block devices ---- */

/* The weights are those of a scheduler: BFQ has files of its own names, and its scale is the API's
 * on v2, too. */
int limit_blkio_weight(struct limits *l, const struct knob *k)
{
    int64_t n = limits_int(l, k->key);
    bool v2 = cgroup_on_v2(l->cg, CGROUP_BLKIO);

    if ((n < BLKIO_WEIGHT_MIN || n > BLKIO_WEIGHT_MAX) && has_weight(l->cg))
        return err_set(l->reterr, ERR_INVALID, EINVAL, "Range of blkio weight is from %d to %d",
                       BLKIO_WEIGHT_MIN, BLKIO_WEIGHT_MAX);
    if (cgroup_feature(l->cg, FEATURE_BLK_BFQ_WEIGHT))
        limits_emit_int(l, CGROUP_BLKIO, v2 ? "io.bfq.weight" : "blkio.bfq.weight", n);
    else if (cgroup_feature(l->cg, FEATURE_BLK_WEIGHT))
        limits_emit_int(l, CGROUP_BLKIO, v2 ? k->v2 : k->v1,
                        v2 ? (int64_t)cgroup_blkio_to_io_weight((uint64_t)n) : n);
    else
        limits_warn(l, "Your kernel does not support Block I/O weight or the cgroup is not "
                       "mounted. Weight discarded.");
    return 0;
}

static int device_number(struct limits *l, const json_t *item, char ret[32])
{
    const char *path = json_get_str(item, "Path", "");
    struct stat st;

    if (stat(path, &st) < 0)
        return err_set(l->reterr, ERR_SYSTEM, ENODEV, "stat %s: %s", path, err_text(errno));
    if (!S_ISBLK(st.st_mode))
        return err_set(l->reterr, ERR_SYSTEM, ENOTBLK, "not a block device: \"%s\"", path);
    snprintf(ret, 32, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
    return 0;
}

/* The scheduler alone knows of a device's weight: without it the kernel answers EOPNOTSUPP. */
static bool has_bfq(const char *device)
{
    static const char *const dirs[] = {"", "/.."}; /* a partition's queue is its disk's */

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        _cleanup_free_ char *dir = xasprintf("/sys/dev/block/%s%s/queue", device, dirs[i]);
        _cleanup_free_ char *text = cgroup_read(dir, "scheduler");

        if (text)
            return strstr(text, "[bfq]");
    }
    return false;
}

/* "MAJ:MIN [KEY=]NUMBER" for each entry. */
static int each_device(struct limits *l, const struct knob *k, const char *file, const char *member,
                       const char *key, uint64_t (*convert)(uint64_t))
{
    const json_t *list = json_get(l->hc, k->key), *item;
    size_t i;

    /* As dockerd: a device is looked for at the start, and may come until then. */
    if (!l->emit)
        return 0;
    json_array_foreach (list, i, item) {
        int64_t n = json_get_int(item, member, 0);
        char text[96], device[32];
        int r = device_number(l, item, device);

        if (r < 0)
            return r;
        snprintf(text, sizeof(text), "%s %s%s%lld", device, key, *key ? "=" : "",
                 convert ? (long long)convert((uint64_t)n) : (long long)n);
        limits_emit(l, CGROUP_BLKIO, file, text);
    }
    return 0;
}

static int discard_weight_device(struct limits *l)
{
    limits_warn(l, "Your kernel does not support Block I/O weight_device or the cgroup is not "
                   "mounted. Weight-device discarded.");
    return 0;
}

static int check_weights(struct limits *l, const struct knob *k, bool bfq)
{
    const json_t *list = json_get(l->hc, k->key), *item;
    struct limits quiet = {.cg = l->cg};
    char device[32];
    size_t i;

    json_array_foreach (list, i, item) {
        int64_t n = json_get_int(item, "Weight", 0);

        if (n < BLKIO_WEIGHT_MIN || n > BLKIO_WEIGHT_MAX)
            return err_set(l->reterr, ERR_INVALID, EINVAL, "Range of blkio weight is from %d to %d",
                           BLKIO_WEIGHT_MIN, BLKIO_WEIGHT_MAX);
        if (bfq && device_number(&quiet, item, device) >= 0 && !has_bfq(device)) {
            discard_weight_device(l);
            return 0;
        }
    }
    return 1;
}

int limit_blkio_weight_device(struct limits *l, const struct knob *k)
{
    static const struct {
        enum cgroup_feature feature;
        bool v2;
        const char *file;
        uint64_t (*convert)(uint64_t);
    } ways[] = {
        {FEATURE_BLK_BFQ_WEIGHT_DEVICE, false, "blkio.bfq.weight_device", NULL},
        {FEATURE_BLK_WEIGHT_DEVICE, false, "blkio.weight_device", NULL},
        {FEATURE_BLK_BFQ_WEIGHT_DEVICE, true, "io.bfq.weight", NULL},
        {FEATURE_BLK_WEIGHT_DEVICE, true, "io.weight", cgroup_blkio_to_io_weight},
    };
    bool v2 = cgroup_on_v2(l->cg, CGROUP_BLKIO);
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        if (ways[i].v2 != v2 || !cgroup_feature(l->cg, ways[i].feature))
            continue;
        r = check_weights(l, k, ways[i].feature == FEATURE_BLK_BFQ_WEIGHT_DEVICE);
        return r > 0 ? each_device(l, k, ways[i].file, "Weight", "", ways[i].convert) : r;
    }
    return discard_weight_device(l);
}

/* The row's v2 column is "io.max KEY". */
int limit_blkio_throttle(struct limits *l, const struct knob *k)
{
    if (cgroup_on_v2(l->cg, CGROUP_BLKIO))
        return each_device(l, k, "io.max", "Rate", strchr(k->v2, ' ') + 1, NULL);
    return each_device(l, k, k->v1, "Rate", "", NULL);
}

/* ---- huge pages ---- */

/* A size is the kernel's own word in the file's name: 2MB, 1GB, 64KB.  The files' names outlive
 * the call: they are among these. */
static const char *const page_files[][3] = {
    {"16KB", "hugetlb.16KB.limit_in_bytes", "hugetlb.16KB.max"},
    {"64KB", "hugetlb.64KB.limit_in_bytes", "hugetlb.64KB.max"},
    {"1MB", "hugetlb.1MB.limit_in_bytes", "hugetlb.1MB.max"},
    {"2MB", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"},
    {"16MB", "hugetlb.16MB.limit_in_bytes", "hugetlb.16MB.max"},
    {"32MB", "hugetlb.32MB.limit_in_bytes", "hugetlb.32MB.max"},
    {"512MB", "hugetlb.512MB.limit_in_bytes", "hugetlb.512MB.max"},
    {"1GB", "hugetlb.1GB.limit_in_bytes", "hugetlb.1GB.max"},
    {"2GB", "hugetlb.2GB.limit_in_bytes", "hugetlb.2GB.max"},
    {"16GB", "hugetlb.16GB.limit_in_bytes", "hugetlb.16GB.max"},
};

static const char *page_file(struct limits *l, const char *size)
{
    const struct cgroup_hierarchy *h = cgroup_of(l->cg, CGROUP_HUGETLB);

    for (size_t i = 0; i < ARRAY_SIZE(page_files); i++) {
        const char *file = page_files[i][h->v2 ? 2 : 1];
        _cleanup_free_ char *path = xasprintf("%s%s/%s", h->mount, l->cg->parent, file);

        if (streq(page_files[i][0], size))
            return access(path, F_OK) == 0 ? file : NULL;
    }
    return NULL;
}

int limit_hugepages(struct limits *l, const struct knob *k)
{
    const json_t *list = json_get(l->hc, k->key), *item;
    size_t i;

    if (!cgroup_has(l->cg, CGROUP_HUGETLB)) {
        limits_warn(l, "Your kernel does not support hugetlb limit capabilities or the cgroup is "
                       "not mounted. Limitation discarded.");
        return 0;
    }
    json_array_foreach (list, i, item) {
        const char *size = json_get_str(item, "PageSize", ""), *file = page_file(l, size);

        if (!file)
            return err_set(l->reterr, ERR_INVALID, EINVAL,
                           "invalid huge page size: \"%s\" is none of this kernel's", size);
        limits_emit_max(l, CGROUP_HUGETLB, file, json_get_int(item, "Limit", 0));
    }
    return 0;
}

/* ---- rdma ---- */

static void add_count(char *text, size_t size, const char *key, const json_t *v)
{
    size_t n = strlen(text);

    if (json_is_integer(v))
        snprintf(text + n, size - n, " %s=%lld", key, (long long)json_integer_value(v));
}

int limit_rdma(struct limits *l, const struct knob *k)
{
    const json_t *list = json_get(l->hc, k->key), *item;
    size_t i;

    if (!cgroup_has(l->cg, CGROUP_RDMA)) {
        limits_warn(l, "Your kernel does not support RDMA limit capabilities or the cgroup is not "
                       "mounted. Limitation discarded.");
        return 0;
    }
    json_array_foreach (list, i, item) {
        const char *device = json_get_str(item, "Device", "");
        _cleanup_free_ char *path = xasprintf("/sys/class/infiniband/%s", device);
        char text[160];

        if (!str_is_filename(device) || strlen(device) > 64 || access(path, F_OK) < 0)
            return err_set(l->reterr, ERR_INVALID, ENODEV, "no such RDMA device: \"%s\"", device);
        snprintf(text, sizeof(text), "%s", device);
        add_count(text, sizeof(text), "hca_handle", json_get(item, "HcaHandles"));
        add_count(text, sizeof(text), "hca_object", json_get(item, "HcaObjects"));
        limits_emit(l, CGROUP_RDMA, k->v1, text);
    }
    return 0;
}

/* ---- net_prio ---- */

int limit_net_priorities(struct limits *l, const struct knob *k)
{
    const json_t *list = json_get(l->hc, k->key), *item;
    size_t i;

    json_array_foreach (list, i, item) {
        const char *name = json_get_str(item, "Interface", "");
        _cleanup_free_ char *path = xasprintf("/sys/class/net/%s", name);
        char text[64];

        if (!str_is_filename(name) || strlen(name) > 15 || access(path, F_OK) < 0)
            return err_set(l->reterr, ERR_INVALID, ENODEV, "no such network interface: \"%s\"",
                           name);
        snprintf(text, sizeof(text), "%s %lld", name, (long long)json_get_int(item, "Priority", 0));
        limits_emit(l, CGROUP_NET_PRIO, k->v1, text);
    }
    return 0;
}
