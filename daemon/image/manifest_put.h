/* A manifest, or a list of them, put under a name in a registry (ctlc manifest push). */
#pragma once

#include "remote_query.h"

void manifest_put_free(struct manifest_put *p); /* NULL is nothing */
