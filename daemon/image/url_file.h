/* What an http(s) URL gives, as a file: ADD of a URL in a build.  Loop thread; the disk is the
 * pool's. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "err.h"

#define URL_FILE_MAX (INT64_C(16) << 30) /* bytes of one, unless the configuration says otherwise  \
                                          */

struct images;
struct url_file;

struct url_file_callbacks {
    void *arg;
    /* {"status":"Downloading","progressDetail":{..}}, borrowed; now and then. */
    void (*progress)(void *arg, json_t *obj);
    /* Once: the file is complete, its time that of Last-Modified, or the epoch's beginning. */
    void (*done)(void *arg, const struct err *err);
};

/* The name that the URL's path ends with, percent-decoded, if it may be a file's; else NULL. Caller
 * frees. */
char *url_file_name(const char *url);
/* url: with http:// or https://.  fd: open for writing, empty; owned from now on in every case.
 * max: bytes; of more nothing is kept beyond what was written before, and the error is ERR_INVALID
 * with EFBIG.  Nothing is called from inside; redirects are followed; any answer but 200 is an
 * error.  NULL with reterr filled if there is no such URL or no libcurl. */
struct url_file *url_file_fetch(struct images *im, const char *url, int fd, int64_t max,
                                const struct url_file_callbacks *cb, struct err *reterr);
void url_file_cancel(struct url_file *f); /* no callback afterwards */
