/* The kernel's line about whom its OOM killer chose (mm/oom_kill.c, dump_oom_summary(); Linux 5.0):
 *
 *   oom-kill:constraint=CONSTRAINT_MEMCG,...,oom_memcg=/P/ID,task_memcg=/P/ID,task=sh,pid=7,uid=0
 *
 * as a record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg), which writes other bytes than
 * printable ASCII as \xNN. */
#pragma once

#include <stdbool.h>

#include "str.h"

#define OOM_PROCESS_MAX 64

struct oom_victim {
    char id[ID_LEN + 1]; /* of the container; the first 64 hex digits of the cgroup's path */
    int pid;             /* as the host sees it */
    char process[OOM_PROCESS_MAX];
};

/* False: the record is about something else. */
bool oomline_parse(const char *record, struct oom_victim *ret);
