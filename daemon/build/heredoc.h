/* Here-documents behind RUN, COPY and ADD.  For this folder. */
#pragma once

#include "dockerfile.h"
#include "lines.h"

/* Read those that the arguments announce. */
int heredocs_take(struct instruction *ins, struct lines *l, struct err *reterr);
