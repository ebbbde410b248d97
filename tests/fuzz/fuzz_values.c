/* Values of the client's options: each parser takes each text. */
#include "csv.h"
#include "fuzz.h"
#include "json.h"
#include "mounts.h"
#include "ports.h"
#include "refname.h"
#include "run_values.h"
#include "str.h"
#include "values.h"

static const value_parser parsers[] = {
    value_bool,       value_int,         value_uint16,    value_bytes,       value_bytes_swap,
    value_cpus,       value_duration,    value_key_value, value_mount,       value_capability,
    value_attach,     value_add_host,    value_ip,        value_domain,      value_env,
    value_link,       value_ulimit,      value_sysctl,    value_device_rule, value_device_weight,
    value_device_bps, value_device_iops, value_gpus,
};

static void lists(const char *text)
{
    char **fields = csv_split(text);

    strv_free(fields);
    strv_free(split_at(text, ','));
}

static void bodies(const char *text)
{
    _cleanup_json_ json_t *body = NULL;
    struct err e;

    mounts_add_volume(&body, text, &e);
    mounts_add_tmpfs(&body, text);
    mounts_add_device(&body, text, &e);
    ports_publish(&body, text, &e);
    ports_expose(&body, text, &e);
    promise(!body || json_is_object(body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = fuzz_text(data, size), *time = NULL;
    _cleanup_json_ json_t *probe = json_string(text);
    struct refname name = {0};
    struct err e;

    if (!probe) /* no UTF-8: refused before any of these is asked */
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(parsers); i++) {
        _cleanup_json_ json_t *value = NULL;
        int r = parsers[i](text, &value, &e);

        promise(r <= 0);
        promise(r < 0 || value);
    }
    lists(text);
    bodies(text);
    time = parse_timestamp(text, INT64_C(1700000000000000000), &e);
    if (refname_parse(text, &name) == 0)
        promise(name.repository && name.familiar);
    refname_done(&name);
    return 0;
}
