/* What can be said of an instruction before any is run.  For this folder. */
#pragma once

#include "dockerfile.h"

/* Its flags and the form of its arguments, as far as no variable counts. */
int instruction_check(const struct instruction *ins, char escape, struct err *reterr);
