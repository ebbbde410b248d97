/* The AppArmor profile of the final process; apparmor(7), "Confinement" of the kernel's manual. */
#pragma once

#include "err.h"

/* PLAN_APPARMOR, if the plan has it: from the next exec(2) of this thread on. */
int confine(const void *plan, struct err *reterr);
