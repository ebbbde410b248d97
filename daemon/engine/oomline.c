#include "oomline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX "0123456789abcdef"

/* A name of the path that is, or holds, an id; what a container makes below its own cgroup comes
 * later in the path and cannot pass for another's. */
static bool find_id(const char *p, const char *end, char ret[ID_LEN + 1])
{
    while (p < end) {
        size_t n = strspn(p, HEX);

        if (n == ID_LEN && p + n <= end) {
            memcpy(ret, p, ID_LEN);
            ret[ID_LEN] = '\0';
            return true;
        }
        p += n ? n : 1;
    }
    return false;
}

/* The last occurrence: a process may call itself anything. */
static const char *find_last(const char *text, const char *word)
{
    const char *last = NULL;

    for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
        last = p;
    return last;
}

bool oomline_parse(const char *record, struct oom_victim *ret)
{
    const char *line = strchr(record, ';'), *group, *task, *pid;

    if (!line || strncmp(line + 1, "oom-kill:", 9) != 0)
        return false;
    group = strstr(line, ",task_memcg=");
    task = group ? strstr(group, ",task=") : NULL;
    pid = task ? find_last(task, ",pid=") : NULL;
    if (!pid || !find_id(group, task, ret->id))
        return false;
    task += strlen(",task=");
    ret->pid = atoi(pid + strlen(",pid="));
    snprintf(ret->process, sizeof(ret->process), "%.*s", (int)(pid - task), task);
    return ret->pid > 0;
}
