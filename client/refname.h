/* Image references as the registry API wants them (docs: distribution reference grammar). */
#pragma once

struct refname {
    char *repository; /* "docker.io/library/busybox" */
    char *tag;        /* "latest", or "sha256:..." */
    char *familiar;   /* as people write it: "busybox:latest" */
};

/* -EINVAL if there is nothing to name. */
int refname_parse(const char *text, struct refname *ret);
void refname_done(struct refname *r);
