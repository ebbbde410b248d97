/* The body of a create request, from its types to the plan: what was accepted can be planned, and
 * the shim accepts the plan. */
#include <sys/stat.h>
#include <unistd.h>

#include "capability.h"
#include "fd.h"
#include "filter.h"
#include "fuzz.h"
#include "json.h"
#include "plan.h"
#include "runtime.h"
#include "validate.h"

static const char id[] = "0123456789ab00000000000000000000000000000000000000000000000000ff";
static struct runtime *rt;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct runtime_facts f = {.caps = caps_all(),
                              .cpus = 2,
                              .memory = 1 << 30,
                              .kernel = 6u << 16 | 1,
                              .hostname = "host"};

    (void)argc, (void)argv;
    rt = runtime_new(NULL, &f);
    return 0;
}

static void check_plan(const struct plan *p)
{
    _cleanup_close_ int fd = plan_memfd(p);
    _cleanup_free_ char *data = NULL;
    struct stat st;

    if (fd < 0)
        return;
    promise(fstat(fd, &st) == 0);
    data = xmalloc((size_t)st.st_size);
    promise(pread(fd, data, (size_t)st.st_size, 0) == st.st_size);
    promise(plan_check(data, (size_t)st.st_size) == 0);
}

static void plan(json_t *config, json_t *host)
{
    static char lower[] = "/l";
    char *lowers[] = {lower, NULL};
    _cleanup_json_ json_t *warnings = json_array(), *mounts = NULL;
    struct runtime_spec spec = {.id = id,
                                .config = config,
                                .host_config = host,
                                .upper = "/u",
                                .work = "/w",
                                .lowers = lowers,
                                .run_dir = "/r"};
    struct plan p = {0};
    struct err e;

    for (int i = 0; i < RUNTIME_NS_N; i++)
        spec.ns_path[i] = "/proc/1/ns/net";
    if (runtime_plan(rt, &spec, &p, warnings, &e) >= 0)
        check_plan(&p);
    plan_done(&p);
    mounts = runtime_mounts_json(config, host);
    promise(json_is_array(mounts));
}

static void create(json_t *body)
{
    _cleanup_json_ json_t *warnings = json_array(), *host = NULL;
    struct err e;

    if (validate_create_types(body, &e) < 0)
        return;
    host = json_get(body, "HostConfig");
    host = host ? json_deep_copy(host) : json_object();
    if (validate_create(rt, body, host, 51, warnings, &e) < 0 ||
        runtime_merge_image(body, NULL, &e) < 0)
        return;
    runtime_host_config_defaults(rt, host, 51);
    runtime_config_defaults(rt, body, host, id);
    plan(body, host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ json_t *body = json_loadb((const char *)data, size, 0, NULL);
    _cleanup_free_ char *text = fuzz_text(data, size);
    struct filter filter = {0};
    struct err e;

    if (filter_custom(text, 0, 6u << 16 | 1, &filter, &e) >= 0)
        filter_done(&filter);
    signal_parse(text, &e);
    if (!json_is_object(body))
        return 0;
    if (validate_exec_types(body, &e) >= 0)
        validate_exec(body, &e);
    if (validate_update_types(body, &e) >= 0)
        validate_update(rt, body, NULL, &e);
    create(body);
    return 0;
}
