/* The functions of a library that is loaded only when it is needed, in a struct of pointers. */
#pragma once

#include <stddef.h>

struct symbol {
    const char *name;
    size_t offset; /* of its pointer in the struct */
};

/* Fill what the list names in the struct at ret from lib, which dlopen(3) gave.  NULL, or the name
 * of the first that it lacks. */
const char *symbols_load(void *lib, const struct symbol *list, size_t n, void *ret);
