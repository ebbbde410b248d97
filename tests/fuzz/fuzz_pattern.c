/* Regular expressions of clients: none takes libFuzzer's patience or memory. */
#include "fuzz.h"
#include "pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size), *name = strchr(text, '\n');
    regex_t re;

    if (name)
        *name++ = '\0';
    if (pattern_compile(text, &re) >= 0) {
        pattern_found(&re, name ? name : text);
        regfree(&re);
    }
    free(text);
    return 0;
}
