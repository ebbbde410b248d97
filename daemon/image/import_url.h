#pragma once

#include "image.h"

/* The store closes: no callbacks. */
void image_downloads_cancel(struct images *im);
