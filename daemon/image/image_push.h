#pragma once

struct images;

/* The store closes. */
void image_pushes_cancel(struct images *im);
