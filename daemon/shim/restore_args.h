/* The command line of criu while it is put together, in the shim's child. */
#pragma once

#include <stddef.h>

#include "text.h"

#define RESTORE_STAGING "criu" /* in the run directory */

/* Room for all of it; 0 or -errno. */
int restore_args_begin(void);
/* Where the next argument goes. */
char *restore_args_room(size_t *ret_size);
/* It is there: len as text_join() says.  0, or -E2BIG. */
int restore_args_keep(int len);

/* Strings that are one argument. */
#define RESTORE_ARG(...)                                                                           \
    ({                                                                                             \
        size_t size_;                                                                              \
        char *room_ = restore_args_room(&size_);                                                   \
        restore_args_keep(text_join(room_, size_, __VA_ARGS__, NULL));                             \
    })
