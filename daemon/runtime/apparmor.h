/* AppArmor: which profile confines a container, and the default one, which is loaded into the
 * kernel when it is not there.  Its name is the stock engine's, so that what names it works here.
 * Sources: apparmor.d(5), apparmor_parser(8). */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "err.h"

#define APPARMOR_DEFAULT "docker-default"

/* Is it on in this kernel, and is apparmor_parser(8) there?  Reads a few files. */
bool apparmor_is_on(void);

/* The profile that HostConfig asks for: "unconfined" for a privileged container that names none,
 * else the default.  Borrowed from host_config or static. */
const char *apparmor_profile(const json_t *host_config);

/* Load the default profile unless the kernel has one of that name; any thread, some 10 ms when it
 * is to be loaded. */
int apparmor_load_default(struct err *reterr);
