#include "netdev.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

void netdev_close(struct netdev_file *file)
{
    file->fd = fd_close(file->fd);
}

static int netdev_open(struct netdev_file *file, pid_t pid)
{
    char path[40];

    netdev_close(file);
    snprintf(path, sizeof(path), "/proc/%d/net/dev", pid);
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    file->pid = pid;
    return file->fd < 0 ? -errno : 0;
}

/* At offset 0 the kernel makes the text anew. */
static ssize_t read_text(int fd, char text[NETDEV_TEXT_MAX])
{
    size_t used = 0;

    for (;;) {
        ssize_t n = pread(fd, text + used, NETDEV_TEXT_MAX - 1 - used, (off_t)used);

        if (n < 0)
            return -errno;
        used += (size_t)n;
        /* Lines are cut nowhere but at a page's end: what is shorter is all. */
        if (n < 2048)
            break;
    }
    while (used == NETDEV_TEXT_MAX - 1 && used > 0 && text[used - 1] != '\n')
        used--; /* a line in halves tells wrong numbers */
    text[used] = '\0';
    return (ssize_t)used;
}

int netdev_read(struct netdev_file *file, pid_t pid, struct netdev *ret, size_t max)
{
    char text[NETDEV_TEXT_MAX];
    int r = file->fd >= 0 && file->pid == pid ? 0 : netdev_open(file, pid);
    ssize_t n;

    if (r < 0)
        return r;
    n = read_text(file->fd, text);
    return n < 0 ? (int)n : netdev_parse(text, ret, max);
}
