/* The one place where an error's kind becomes an HTTP status. */
#pragma once

#include "err.h"

unsigned http_status_of(const struct err *err);
/* Reason phrase as Go's net/http spells it; "" if unknown. */
const char *http_status_text(unsigned status);
