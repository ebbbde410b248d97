/* Deleting links without waiting for the kernel to forget them.  The request for it returns only
 * after every processor has passed a grace period and the callbacks of all others have run, some 20
 * ms after the link has left its namespaces; nobody but the threads here waits for that. */
#pragma once

#include <stdint.h>

#include "err.h"

struct reaper;

/* Starts no thread yet; never fails. */
struct reaper *reaper_new(void);
/* Waits for what is under way. */
void reaper_free(struct reaper *reaper);
/* Delete a link of this namespace by its name; it may still be there on return.  Any thread. */
int reaper_delete(struct reaper *reaper, const char *name, struct err *reterr);
/* This one goes with its other end's namespace, whose last process has ended: delete it if it does
 * not.  Sockets keep a namespace, and with it the link and the addresses that others may have by
 * then, for minutes: those with something to say to a peer that does not answer any more.  By its
 * index, as a link of that name may come again; the name is for messages.  Any thread. */
int reaper_expect(struct reaper *reaper, const char *name, uint32_t index, struct err *reterr);
