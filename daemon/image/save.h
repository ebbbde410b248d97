/* What save.c tells the rest of the image store. */
#pragma once

#include "image_private.h"

#define SENDS_MAX 64 /* archives on their way at once */

void image_sends_cancel(struct images *im);
