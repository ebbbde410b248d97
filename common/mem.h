/* Allocation and scope-bound ownership.
 *
 * The x-functions abort when memory runs out.  The daemon is crash-only (its death is a non-event
 * for containers), so dying and being restarted is the tested recovery path; a thousand untested
 * -ENOMEM branches would not be.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(freep)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Hand a pointer over to a new owner: yields its value and leaves NULL behind. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) *pp_ = &(p);                                                                 \
        __typeof__(p) v_ = *pp_;                                                                   \
        *pp_ = NULL;                                                                               \
        v_;                                                                                        \
    })

/* Define foo_freep() for _cleanup_(foo_freep) out of foo_free(). */
#define DEFINE_FREEP(type, func)                                                                   \
    static inline void func##p(type *p)                                                            \
    {                                                                                              \
        if (*p)                                                                                    \
            func(*p);                                                                              \
    }

static inline void freep(void *p)
{
    free(*(void **)p);
}

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
/* NULL stays NULL. */
char *xstrdup_null(const char *s);
