/* Host ports on loan to containers.  The table `ports` is the truth about ours; a trial bind(2)
 * tells whether some other program of the host has one.  Loop thread only. */
#pragma once

#include "db.h"
#include "leases.h"

/* Docker's range for ports that nobody chose. */
#define PORT_EPHEMERAL_FIRST 32768
#define PORT_EPHEMERAL_LAST 60999

struct port_request {
    uint8_t proto; /* IPPROTO_* as in struct port_lease */
    uint16_t container_port;
    uint8_t family; /* these three as in struct port_lease */
    uint32_t host_ip;
    uint8_t host_ip6[16];
    uint16_t host_port_first; /* 0: any ephemeral one */
    uint16_t host_port_last;  /* = first, or the end of the range to choose from */
};

struct ports;

/* 0 if the port could be bound now, -EADDRINUSE, -EADDRNOTAVAIL (no address of this host), ... */
typedef int (*port_probe_fn)(void *userdata, const struct port_lease *lease);

struct ports *ports_new(struct db *db); /* db is borrowed */
void ports_free(struct ports *ports);
DEFINE_FREEP(struct ports *, ports_free)

/* Choose from another place of the range on, by some number that is this daemon's own: what another
 * daemon on this host has published no trial bind shows, and both would begin with the same. */
void ports_spread(struct ports *ports, uint32_t mark);
/* Replace the trial bind (unit tests). */
void ports_set_probe(struct ports *ports, port_probe_fn probe, void *userdata);

/* Lend a host port; runs inside the caller's transaction if there is one.  Failure is ERR_SYSTEM
 * with Docker's text, "Bind for 0.0.0.0:80 failed: port is already allocated" if a container has
 * it.  On failure the ports taken before stay taken: roll back or call ports_release(). */
int ports_take(struct ports *ports, const char *container_id, const struct port_request *request,
               struct port_lease *ret, struct err *reterr);
/* Give back all ports of the container; none is success. */
int ports_release(struct ports *ports, const char *container_id, struct err *reterr);
