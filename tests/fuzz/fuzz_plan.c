/* The plan, which the shim checks although it trusts the daemon: what passes can be walked. */
#include "fuzz.h"
#include "plan.h"

static void walk(const void *data, size_t size)
{
    const char *end = (const char *)data + size;

    for (const struct plan_op *op = plan_next(data, NULL); op; op = plan_next(data, op)) {
        promise((const char *)op + op->size <= end);
        for (unsigned i = 0; i <= op->strings; i++) {
            const char *s = plan_str(op, i);

            promise(i == op->strings || s + strlen(s) < end);
        }
        if (op->code == PLAN_SECCOMP || op->code == PLAN_CGROUP_BPF) {
            const char *blob = plan_blob(op);

            promise(blob + op->arg[0] <= end);
            for (uint64_t i = 0; i < op->arg[0]; i++)
                __asm__ volatile("" : : "r"(blob[i]));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plan_header *h = xmalloc(size + 1);

    memcpy(h, data, size);
    if (plan_check(h, size) == 0)
        walk(h, size);
    /* Past the head, which is hard to guess. */
    if (size >= sizeof(*h)) {
        h->magic = PLAN_MAGIC;
        h->version = PLAN_VERSION;
        h->size = (uint32_t)size;
        if (plan_check(h, size) == 0)
            walk(h, size);
    }
    free(h);
    return 0;
}
