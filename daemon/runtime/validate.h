/* Is a create request sound?  Texts and limits as dockerd has them.
 *
 * Pure but for validate_create() looking whether the source of a bind in Mounts exists.
 * Failures are ERR_INVALID (400), ERR_NOT_FOUND for an unknown log driver's kin as noted, or
 * ERR_NOT_IMPLEMENTED.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "err.h"
#include "runtime.h"

#define VALIDATE_LIST_MAX 4096        /* entries of any list or map in a request */
#define VALIDATE_STRING_MAX (1 << 20) /* bytes of any string in it */

/* Types of all known members of a create body {Config..., HostConfig, NetworkingConfig}; the
 * message is Go's: `json: cannot unmarshal string into Go struct field ...`, after "invalid JSON:
 * ". Unknown members are ignored. */
int validate_create_types(const json_t *body, struct err *reterr);
/* The same for the body of POST /containers/{id}/exec, of /update, /networks/create,
 * /networks/{id}/connect and /disconnect, and /volumes/create. */
int validate_exec_types(const json_t *body, struct err *reterr);
int validate_update_types(const json_t *body, struct err *reterr);
int validate_network_types(const json_t *body, struct err *reterr);
int validate_connect_types(const json_t *body, struct err *reterr);
int validate_volume_types(const json_t *body, struct err *reterr);

/* Values.  Call after the types are checked and before runtime_merge_image(): an image may declare
 * volumes, a request may not yet.  Warnings (strings) are appended for what is accepted and has no
 * effect, the kernel's missing limits among it. */
int validate_create(const struct runtime *rt, const json_t *config, const json_t *host_config,
                    unsigned api, json_t *warnings, struct err *reterr);
int validate_exec(const json_t *exec, struct err *reterr);
/* Resource members and the restart policy, as /update sends them: what is absent stays. */
int validate_update(const struct runtime *rt, const json_t *host_config, json_t *warnings,
                    struct err *reterr);

/* Lower bounds of memory limits, 6 MiB: below it nothing starts. */
#define VALIDATE_MEMORY_MIN (6 << 20)

/* "SIGTERM", "TERM", "15", "RTMIN+3" (any case) to a number, or -EINVAL with ERR_INVALID
 * "invalid signal: X".  NULL or "" is -EINVAL, too: the default is the caller's. */
int signal_parse(const char *s, struct err *reterr);
