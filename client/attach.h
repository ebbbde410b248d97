/* Opening attached sessions, for run, start -a and attach. */
#pragma once

#include "session.h"

struct attach_spec {
    bool input, out, err; /* streams to attach */
    bool proxy;           /* forward signals */
    bool tty;
    const char *detach_keys;
};

/* POST /containers/ID/attach with the wait request sent beside it, so that both are in place after
 * one round trip.  `wait` (may be NULL) has its path set.  The terminal is raw afterwards if the
 * container has one and input is attached. */
int attach_open(struct session *s, struct client *c, const char *id, const struct attach_spec *spec,
                struct waiter *wait, struct err *reterr);
/* A waiter on this container with this condition. */
void attach_waiter(struct waiter *w, const char *id, const char *condition);
/* -t with input needs a terminal: false after telling so. */
bool attach_check_tty(bool input, bool tty);
