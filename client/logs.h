/* `logs` of one container and of several. */
#pragma once

#include "client.h"
#include "commands.h"

/* Ask for the log of one by the invocation's options; *ret_framed: it comes as frames. */
int logs_open(struct invocation *inv, const char *name, struct conn *ret, bool *ret_framed,
              struct err *reterr);
/* Of all arguments, line by line. */
int logs_many(struct invocation *inv, struct err *reterr);
