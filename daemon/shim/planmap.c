#include "planmap.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "plan.h"

#define KEEP_MAX 16384

static char kept[KEEP_MAX] __attribute__((aligned(8)));

const void *planmap_open(int fd, size_t *ret_size, struct err *reterr)
{
    struct stat st;
    void *p;

    if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > (off_t)PLAN_SIZE_MAX) {
        err_set(reterr, ERR_INVALID, EINVAL, "no usable plan");
        return NULL;
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        err_sys(reterr, errno, "cannot map the plan");
        return NULL;
    }
    if (plan_check(p, (size_t)st.st_size) < 0) {
        munmap(p, (size_t)st.st_size);
        err_set(reterr, ERR_INVALID, EINVAL, "the plan is malformed");
        return NULL;
    }
    *ret_size = (size_t)st.st_size;
    return p;
}

void planmap_close(const void *plan, size_t size)
{
    if (plan)
        munmap((void *)plan, size);
}

static bool is_kept(unsigned code)
{
    return code == PLAN_RUN_DIR || code == PLAN_LOG || code == PLAN_LOG_SEND ||
           code == PLAN_CGROUP_MKDIR || code == PLAN_OOM_FILE || code == PLAN_NAMESPACE ||
           code == PLAN_STOP;
}

const void *planmap_shrink(const void *plan)
{
    struct plan_header *h = (void *)kept;
    const struct plan_op *op = NULL;

    *h = (struct plan_header){.magic = PLAN_MAGIC, .version = PLAN_VERSION, .size = sizeof(*h)};
    while ((op = plan_next(plan, op))) {
        if (!is_kept(op->code))
            continue;
        if (op->size > sizeof(kept) - h->size)
            return plan;
        memcpy(kept + h->size, op, op->size);
        h->size += op->size;
        h->count++;
    }
    return kept;
}
