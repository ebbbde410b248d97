#include "netdev.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "fd.h"
#include "str.h"

const char *const netdev_names[NETDEV_COUNTERS] = {
    "rx_bytes", "rx_packets", "rx_errors", "rx_dropped",
    "tx_bytes", "tx_packets", "tx_errors", "tx_dropped",
};

/* Which of the sixteen columns they are. */
static const unsigned char columns[NETDEV_COUNTERS] = {0, 1, 2, 3, 8, 9, 10, 11};

int netdev_parse(char *text, struct netdev *ret, size_t max)
{
    char *line, *save = NULL;
    size_t n = 0;

    for (line = strtok_r(text, "\n", &save); line && n < max; line = strtok_r(NULL, "\n", &save)) {
        char *colon = strrchr(line, ':'), *name = line + strspn(line, " "), *end;
        uint64_t numbers[12];

        if (!colon) /* one of the two title lines, which have none */
            continue;
        *colon = '\0';
        if (streq(name, "lo"))
            continue;
        end = colon + 1;
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
            numbers[i] = strtoull(end, &end, 10);
        snprintf(ret[n].name, sizeof(ret[n].name), "%s", name);
        for (size_t i = 0; i < NETDEV_COUNTERS; i++)
            ret[n].counters[i] = numbers[columns[i]];
        n++;
    }
    return (int)n;
}

int netdev_read(pid_t pid, struct netdev *ret, size_t max)
{
    _cleanup_free_ char *text = NULL;
    char path[40];
    ssize_t r;

    snprintf(path, sizeof(path), "/proc/%d/net/dev", pid);
    r = file_read(AT_FDCWD, path, NETDEV_TEXT_MAX, &text);
    return r < 0 ? (int)r : netdev_parse(text, ret, max);
}
