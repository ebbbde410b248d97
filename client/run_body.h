/* The request of create out of its options. */
#pragma once

#include "commands.h"

/* Complete *body, to which the option table has added what it could.  Modifies nothing else. */
int run_body_build(json_t **body, const struct run_options *o, char *const *args, int n_args,
                   struct err *reterr);
/* "Env" of --env-file and --env into *body; also for exec. */
int run_body_env(json_t **body, char *const *files, char *const *env, struct err *reterr);
/* "name[:max]" as a RestartPolicy object; NULL with *reterr set if it is malformed. */
json_t *restart_policy(const char *spec, struct err *reterr);
