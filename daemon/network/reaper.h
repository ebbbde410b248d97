/* Deleting links without waiting for the kernel to forget them.  The request for it returns only
 * after every processor has passed a grace period and the callbacks of all others have run, some 20
 * ms after the link has left its namespaces; nobody but the threads here waits for that. */
#pragma once

#include "err.h"

struct reaper;

/* Starts no thread yet; never fails. */
struct reaper *reaper_new(void);
/* Waits for what is under way. */
void reaper_free(struct reaper *reaper);
/* Delete a link of this namespace by its name; it may still be there on return.  Any thread. */
int reaper_delete(struct reaper *reaper, const char *name, struct err *reterr);
