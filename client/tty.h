/* The user's terminal: raw mode that is undone on every way out, size, detach keys. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct tty_size {
    unsigned short rows, columns;
};

/* Put stdin into raw mode; undone by tty_restore(), at exit, and when a signal kills us.
 * 0 or -errno. */
int tty_raw(void);
void tty_restore(void);
/* Size of the terminal on stdout (else stdin); false if neither is one. */
bool tty_get_size(struct tty_size *ret);
/* Width for help and progress: the terminal's on fd, else 80. */
int tty_columns(int fd);

#define DETACH_KEYS_MAX 16

/* Recognises a key sequence in a stream of input. */
struct detach {
    unsigned char keys[DETACH_KEYS_MAX];
    size_t n;
    size_t matched; /* keys of the sequence seen and held back so far */
};

/* "ctrl-p,ctrl-q" (the default, for NULL or a sequence that makes no sense). */
void detach_init(struct detach *d, const char *keys);
/* Filter len bytes of data into out (room for len + DETACH_KEYS_MAX); *ret_len is what is to be
 * sent.  True once the sequence is complete. */
bool detach_filter(struct detach *d, const char *data, size_t len, char *out, size_t *ret_len);
