/* What a registry, and who logs in to one, may send: challenges and credentials. */
#include "auth.h"
#include "base64.h"
#include "challenge.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    _cleanup_free_ char *text = fuzz_text(data, size), *bytes = NULL, *encoded = NULL;
    struct challenge found[CHALLENGES_MAX];
    size_t n = challenge_parse(text, found), len = 0;
    struct err e;

    promise(n <= CHALLENGES_MAX);
    for (size_t i = 0; i < n; i++) {
        promise(found[i].scheme);
        challenge_done(&found[i]);
    }
    registry_auth_decode(text, &auth, &e);
    bytes = base64_decode(text, &len);
    if (bytes) {
        _cleanup_free_ char *again = NULL;
        size_t again_len = 0;

        encoded = base64_encode(bytes, len);
        again = base64_decode(encoded, &again_len);
        promise(again && again_len == len && memcmp(again, bytes, len) == 0);
    }
    return 0;
}
