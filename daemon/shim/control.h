/* The connection with the daemon. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "protocol.h"

struct control_handler {
    /* A checked message with its descriptors, which the handler owns and closes. */
    void (*message)(const struct shim_msg *m, int *fds, size_t n);
    void (*connected)(void); /* a daemon came back: greet it */
    void (*lost)(void);
};

/* Take over SHIM_FD_CONTROL.  0 or -errno. */
int control_init(const struct control_handler *h);
/* Make RUN_DIR/shim.sock and accept daemons from now on. */
int control_listen(const char *run_dir, struct err *reterr);
/* The last act: remove the socket, close the connection such that nothing sent is lost. */
void control_close(void);
/* RUN_DIR as a descriptor, for the exit file. */
int control_run_dir(void);

/* Never blocks.  A daemon that does not read is cut off, unless the message is only a hint: it
 * comes back, and learns everything from the greeting. */
void control_send(struct shim_msg *m, const int *fds, size_t n);
void control_send_state(enum shim_msg_type type, const char *exec_id, const struct shim_state *st);
void control_send_fail(enum shim_msg_type type, const char *exec_id, const struct shim_fail *f);
