#include "tty.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "mem.h"
#include "str.h"

/* Global because a signal handler and atexit() need it. */
static struct termios saved;
static volatile sig_atomic_t is_raw;

void tty_restore(void)
{
    if (is_raw) {
        is_raw = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    }
}

static void die_restored(int sig)
{
    tty_restore();
    signal(sig, SIG_DFL);
    raise(sig);
}

static void restore_on_death(void)
{
    static const int fatal[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                SIGPIPE, SIGABRT, SIGSEGV, SIGBUS};
    struct sigaction sa = {.sa_handler = die_restored, .sa_flags = (int)SA_RESETHAND}, old;

    for (size_t i = 0; i < ARRAY_SIZE(fatal); i++) {
        if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(fatal[i], &sa, NULL);
    }
    atexit(tty_restore);
}

int tty_raw(void)
{
    struct termios t;

    if (is_raw)
        return 0;
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return -errno;
    restore_on_death();
    t = saved;
    cfmakeraw(&t);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &t) < 0) {
        is_raw = 0;
        return -errno;
    }
    return 0;
}

bool tty_get_size(struct tty_size *ret)
{
    struct winsize ws;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
        return false;
    ret->rows = ws.ws_row;
    ret->columns = ws.ws_col;
    return true;
}

int tty_columns(int fd)
{
    struct winsize ws;

    return ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 ? ws.ws_col : 80;
}

/* One of "a", "ctrl-a", "ctrl-@", "ctrl-["..: its byte, or -1. */
static int key_code(const char *key, size_t len)
{
    if (len == 1)
        return (unsigned char)key[0];
    if (len != 6 || strncmp(key, "ctrl-", 5) != 0)
        return -1;
    if (key[5] >= 'a' && key[5] <= 'z')
        return key[5] - 'a' + 1;
    if (key[5] == '@')
        return 0;
    return key[5] >= '[' && key[5] <= '_' ? key[5] - '[' + 27 : -1;
}

void detach_init(struct detach *d, const char *keys)
{
    const char *p = keys;

    *d = (struct detach){.keys = {16, 17}, .n = 2};
    if (str_empty(keys))
        return;
    d->n = 0;
    for (;;) {
        size_t len = strcspn(p, ",");
        int code = d->n < DETACH_KEYS_MAX ? key_code(p, len) : -1;

        if (code < 0) {
            *d = (struct detach){.keys = {16, 17}, .n = 2};
            return;
        }
        d->keys[d->n++] = (unsigned char)code;
        if (!p[len])
            return;
        p += len + 1;
    }
}

bool detach_filter(struct detach *d, const char *data, size_t len, char *out, size_t *ret_len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)data[i] == d->keys[d->matched]) {
            if (++d->matched == d->n) {
                *ret_len = n;
                return true;
            }
            continue;
        }
        /* Not the sequence after all: what was held back goes out, and this byte may begin anew. */
        memcpy(out + n, d->keys, d->matched);
        n += d->matched;
        d->matched = (unsigned char)data[i] == d->keys[0] ? 1 : 0;
        if (!d->matched)
            out[n++] = data[i];
    }
    *ret_len = n;
    return false;
}
