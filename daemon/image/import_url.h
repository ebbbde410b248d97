#pragma once

#include "image.h"

/* Without the user, password and query, which may be secrets; caller frees. */
char *url_show(const char *url);

/* The store closes: no callbacks. */
void image_downloads_cancel(struct images *im);
