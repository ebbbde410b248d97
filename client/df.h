/* Tables of `system df -v`, each made by the file that knows the rows. */
#pragma once

#include <jansson.h>

#include "err.h"

/* Image summaries with SharedSize and Containers. */
int images_usage_table(const json_t *list, struct err *reterr);
/* Container summaries with sizes. */
int ps_usage_table(const json_t *list, struct err *reterr);
/* Volumes with UsageData. */
int volumes_usage_table(const json_t *list, struct err *reterr);
