/* Where the daemon is, and how a connection to it is made: a unix socket, or ssh(1) to another
 * machine, where `ctlc system dial-stdio` joins the session with that machine's socket. */
#pragma once

#include "err.h"

#define DEFAULT_HOST "unix:///var/run/daemon.sock"

struct transport {
    const char *host;   /* as given, for messages; borrowed */
    const char *socket; /* unix: path of the socket, within host; ssh: NULL */
    /* ssh only; owned, NULL: not given */
    char *machine, *user, *port, *remote_socket;
};

/* unix://PATH or ssh://[USER@]MACHINE[:PORT][/PATH]: 0, or -EINVAL with a message. */
int transport_parse(const char *host, struct transport *ret, struct err *reterr);
void transport_done(struct transport *t);
/* A connected stream socket, or -errno with the message that tells what to do about it.  An ssh
 * that cannot get there says so on stderr; what is read from the socket then is its end. */
int transport_connect(const struct transport *t, struct err *reterr);
