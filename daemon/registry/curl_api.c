#include "curl_api.h"

#include <dlfcn.h>
#include <errno.h>

#include "log.h"
#include "mem.h"
#include "symbols.h"

/* The one over OpenSSL finds an authority in a hashed directory; GnuTLS would read all of the
 * system's, 20 ms and 4 MiB for every connection. */
static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};

#define MEMBER(name)                                                                               \
    {                                                                                              \
        "curl_" #name, offsetof(struct curl_api, name)                                             \
    }

static const struct symbol members[] = {
    MEMBER(global_init),
    MEMBER(easy_init),
    MEMBER(easy_setopt),
    MEMBER(easy_getinfo),
    MEMBER(easy_pause),
    MEMBER(easy_cleanup),
    MEMBER(easy_strerror),
    MEMBER(multi_init),
    MEMBER(multi_setopt),
    MEMBER(multi_add_handle),
    MEMBER(multi_remove_handle),
    MEMBER(multi_socket_action),
    MEMBER(multi_assign),
    MEMBER(multi_info_read),
    MEMBER(multi_cleanup),
    MEMBER(slist_append),
    MEMBER(slist_free_all),
    MEMBER(url),
    MEMBER(url_set),
    MEMBER(url_get),
    MEMBER(url_cleanup),
    MEMBER(free),
};

static void *open_library(struct err *reterr)
{
    void *lib = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(names) && !lib; i++)
        lib = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
    if (!lib)
        err_set(reterr, ERR_UNAVAILABLE, ENOENT,
                "registries cannot be reached: libcurl is not installed (Debian: libcurl4): "
                "%s",
                dlerror());
    return lib;
}

int curl_api_load(struct curl_api *ret, struct err *reterr)
{
    void *lib = open_library(reterr);
    const char *missing;

    if (!lib)
        return -ENOENT;
    missing = symbols_load(lib, members, ARRAY_SIZE(members), ret);
    if (missing)
        return err_set(reterr, ERR_UNAVAILABLE, ENOENT, "this libcurl is too old: it has no %s",
                       missing);
    if (ret->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(reterr, ERR_UNAVAILABLE, ENOTSUP, "libcurl cannot be initialised");
    log_debug("libcurl is loaded");
    return 0;
}
