#pragma once

struct images;

/* The store closes. */
void image_pulls_cancel(struct images *im);
