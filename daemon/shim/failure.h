/* Failures in the words of Docker and runc, which people and programs match on. */
#pragma once

#include <stdbool.h>

#include "protocol.h"

/* Message, errno and the exit code clients are given for it: 127, 126, else 128. */
void failure_describe(struct shim_fail *f, const struct err *e);
/* Whether it is about a user or group: Docker says that without runc's prefix. */
bool failure_is_user(const struct shim_fail *f);
