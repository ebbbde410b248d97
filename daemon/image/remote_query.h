#pragma once

#include "image_private.h"
#include "reference.h"

/* The store closes. */
void registry_queries_cancel(struct images *im);
