#include "symbols.h"

#include <dlfcn.h>
#include <string.h>

const char *symbols_load(void *lib, const struct symbol *list, size_t n, void *ret)
{
    for (size_t i = 0; i < n; i++) {
        void *symbol = dlsym(lib, list[i].name);

        if (!symbol)
            return list[i].name;
        memcpy((char *)ret + list[i].offset, &symbol, sizeof(symbol));
    }
    return NULL;
}
