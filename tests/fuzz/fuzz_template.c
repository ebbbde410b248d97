/* Templates of --format over an object that has a bit of everything. */
#include "fuzz.h"
#include "json.h"
#include "template.h"

static const char object[] =
    "{\"Id\":\"abc\",\"N\":3,\"R\":1.5,\"T\":true,\"F\":false,\"Null\":null,\"S\":\"a b\\u00e9\","
    "\"List\":[\"x\",\"y\"],\"Empty\":[],\"Map\":{\"b\":\"2\",\"a\":\"1\"},"
    "\"State\":{\"Running\":true,\"Health\":null},\"Ports\":{\"1/"
    "tcp\":[{\"HostPort\":\"1\"}],\"2\":null},"
    "\"Config\":{\"Healthcheck\":{\"Interval\":-1500},\"Volumes\":{\"/"
    "v\":{}}},\"Ulimits\":[{\"Soft\":1}],"
    "\"Mounts\":[{\"RW\":true},null,7],"
    "\"Net\":{\"my-net\":{\"IP\":\"1.2.3.4\"}},\"Items\":[{\"V\":1},{\"V\":null}]}";

static void run(const struct template *t, bool header)
{
    _cleanup_json_ json_t *root = json_loads(object, 0, NULL);
    _cleanup_json_ json_t *methods = json_pack("{s:{s:s}}", "Label", "a", "b");
    struct template_data d = {.root = root, .methods = methods, .header = header};
    _cleanup_buf_ struct buf out = {0};
    struct err e;

    promise(root && methods);
    template_exec(t, &d, &out, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = fuzz_text(data, size);
    _cleanup_(template_freep) struct template *t = NULL;
    struct err e;

    t = template_parse(text, &e);
    if (t) {
        template_uses(t, "Id");
        run(t, false);
        run(t, true);
    }
    return 0;
}
