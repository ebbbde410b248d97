/* Names of images, and the times and durations of image filters. */
#include "duration.h"
#include "fuzz.h"
#include "image_filter.h"
#include "reference.h"
#include "str.h"

/* docker.io/a.b/c is shown as a.b/c, which names a host: the field's own ambiguity. */
static bool looks_like_host(const char *path)
{
    size_t n = strcspn(path, "/");

    return path[n] && (memchr(path, '.', n) || memchr(path, ':', n) ||
                       (n == 9 && memcmp(path, "localhost", n) == 0));
}

/* What was made of a name names the same. */
static void check_round_trip(const struct reference *ref)
{
    _cleanup_reference_ struct reference again = {0}, short_again = {0};
    _cleanup_free_ char *canonical = reference_canonical(ref), *familiar = reference_familiar(ref);
    _cleanup_free_ char *second = NULL, *third = NULL;

    promise(reference_parse(canonical, &again, NULL) == 0);
    second = reference_canonical(&again);
    promise(streq(canonical, second));
    if (streq(ref->domain, "docker.io") && looks_like_host(ref->path))
        return;
    promise(reference_parse(familiar, &short_again, NULL) == 0);
    third = reference_canonical(&short_again);
    promise(streq(canonical, third));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_reference_ struct reference ref = {0}, tagged = {0};
    _cleanup_free_ char *text = fuzz_text(data, size);
    const char *id = reference_image_id(text);
    struct err e;
    int64_t t;

    promise(!id || strlen(id) == 64);
    if (reference_parse(text, &ref, &e) == 0) {
        reference_check_tag(&ref, &e);
        reference_match(text, &ref);
        reference_match("*[a-z]/?\\*", &ref);
        reference_tag_default(&ref);
        check_round_trip(&ref);
    }
    reference_parse_repo_tag("busybox", text, &tagged, &e);
    promise(duration_parse(text) >= 0 || duration_parse(text) == -EINVAL);
    image_filter_time(text, INT64_C(1700000000000000000), &t);
    return 0;
}
