#include "unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "mem.h"
#include "str.h"
#include "symbols.h"

#define LIBRARY "libsystemd.so.0"
#define ADDRESS "unix:path=/run/systemd/private"
#define SERVICE "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
/* Exists if systemd is the init, sd_booted(3). */
#define BOOTED "/run/systemd/system"

/* sd-bus(3), as much as is used of it. */
typedef struct sd_bus sd_bus;
struct bus_error {
    const char *name, *message;
    int need_free;
};

static struct {
    int (*new)(sd_bus **ret);
    int (*set_address)(sd_bus *bus, const char *address);
    int (*start)(sd_bus *bus);
    int (*call_method)(sd_bus *bus, const char *service, const char *object, const char *interface,
                       const char *member, struct bus_error *error, void **reply, const char *types,
                       ...);
    sd_bus *(*flush_close_unref)(sd_bus *bus);
    void (*error_free)(struct bus_error *error);
} api;

#define MEMBER(name)                                                                               \
    {                                                                                              \
        "sd_bus_" #name, offsetof(typeof(api), name)                                               \
    }

static const struct symbol members[] = {
    MEMBER(new),         MEMBER(set_address),       MEMBER(start),
    MEMBER(call_method), MEMBER(flush_close_unref), MEMBER(error_free)};

static bool loaded;

static void load(void)
{
    void *lib = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);

    loaded = lib && !symbols_load(lib, members, ARRAY_SIZE(members), &api);
}

static void closep(sd_bus **bus)
{
    if (*bus)
        api.flush_close_unref(*bus);
}

static void errorp(struct bus_error *e)
{
    api.error_free(e);
}

static int connect_manager(sd_bus **ret, struct err *reterr)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    _cleanup_(closep) sd_bus *bus = NULL;
    int r;

    pthread_once(&once, load);
    if (!loaded)
        return err_set(reterr, ERR_SYSTEM, ELIBACC,
                       "cgroup driver systemd: " LIBRARY " cannot be loaded");
    r = api.new(&bus);
    if (r >= 0)
        r = api.set_address(bus, ADDRESS);
    if (r >= 0)
        r = api.start(bus);
    if (r < 0)
        return err_sys(reterr, -r, "cgroup driver systemd: cannot connect to systemd");
    *ret = TAKE_PTR(bus);
    return 0;
}

int unit_check(struct err *reterr)
{
    _cleanup_(closep) sd_bus *bus = NULL;

    if (access(BOOTED, F_OK) < 0)
        return err_set(reterr, ERR_SYSTEM, ENOTSUP,
                       "cgroup driver systemd: this host's init is not systemd (no " BOOTED ")");
    return connect_manager(&bus, reterr);
}

int unit_start_scope(const char *name, const char *slice, const char *description, pid_t pid,
                     struct err *reterr)
{
    _cleanup_(closep) sd_bus *bus = NULL;
    _cleanup_(errorp) struct bus_error error = {0};
    int r = connect_manager(&bus, reterr);

    if (r < 0)
        return r;
    /* The limits are in the cgroup below, which is ours: none of the scope's own, not even the
     * default one of tasks.  One that failed is forgotten at once, so its name is free again. */
    r = api.call_method(bus, SERVICE, OBJECT, MANAGER, "StartTransientUnit", &error, NULL,
                        "ssa(sv)a(sa(sv))", name, "fail", 7,      /* properties */
                        "Description", "s", description,          /* as systemctl shows it */
                        "Slice", "s", slice,                      /* */
                        "Delegate", "b", 1,                       /* */
                        "DefaultDependencies", "b", 0,            /* */
                        "CollectMode", "s", "inactive-or-failed", /* */
                        "TasksMax", "t", UINT64_MAX,              /* */
                        "PIDs", "au", 1, (unsigned)pid, /* auxiliary units */ 0);
    if (r < 0 && error.name && streq(error.name, "org.freedesktop.systemd1.UnitExists"))
        r = -EEXIST;
    if (r < 0)
        return err_set(reterr, ERR_SYSTEM, -r, "systemd does not start %s: %s", name,
                       error.message ? error.message : err_text(-r));
    return 0;
}

void unit_stop(const char *name)
{
    _cleanup_(closep) sd_bus *bus = NULL;

    if (connect_manager(&bus, NULL) < 0)
        return;
    api.call_method(bus, SERVICE, OBJECT, MANAGER, "StopUnit", NULL, NULL, "ss", name, "replace");
    api.call_method(bus, SERVICE, OBJECT, MANAGER, "ResetFailedUnit", NULL, NULL, "s", name);
}
