/* The image store: what images there are, which layers they share, and the operations on them.
 *
 * Everything here runs on the loop thread and calls back on it.  Unpacking happens in
 * containerd-lite-layer processes, file work in uv's pool; no call blocks the loop on a disk beyond
 * a database statement.  Image ids are 64 hex digits without "sha256:" in this interface, with it
 * in JSON.  JSON results are new references in the shapes of the Engine API; version-dependent
 * differences (`<none>:<none>`, VirtualSize, Containers) are the HTTP handler's.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "auth.h"
#include "db.h"
#include "err.h"
#include "hosts.h"
#include "mem.h"
#include "storage.h"
#include "str.h"

struct images;

/* An immutable snapshot, shared by reference count.  Tags change, so they are not in here. */
struct image {
    unsigned refs;
    char id[ID_LEN + 1];
    json_t *config; /* the whole image config document, owned; its "config" is the container part */
    int64_t size;   /* bytes of all layers unpacked */
    int64_t created;  /* ns since the epoch, 0 if the config has none */
    char **chain_ids; /* owned, bottom .. top */
    size_t n_layers;
};

struct image *image_ref(struct image *img);
void image_unref(struct image *img);
DEFINE_FREEP(struct image *, image_unref)

/* What the store must know from the engine.  Any member may be NULL. */
struct images_hooks {
    void *arg;
    /* action: load import pull push tag untag delete; name: familiar reference or "sha256:..id";
     * labels: borrowed object or NULL. */
    void (*event)(void *arg, const char *action, const char *image_id, const char *name,
                  const json_t *labels);
    /* The end of a prune; type: "image", "builder". */
    void (*pruned)(void *arg, const char *type, int64_t bytes);
    /* Number of containers made from the image.  If any, ret_container is set to the id of one of
     * them (a running one if there is) and *ret_running. */
    int (*containers)(void *arg, const char *image_id, char ret_container[ID_LEN + 1],
                      bool *ret_running);
    /* Is there a container of that id, whatever its state? */
    bool (*container_exists)(void *arg, const char *id);
    /* Does a build go on from the image?  It is not pruned then. */
    bool (*building)(void *arg, const char *image_id);
    /* Does a container that runs, or is about to, stand on the layer? */
    bool (*layer_in_use)(void *arg, const char *chain_id);
};

struct images_options {
    struct db *db;                   /* borrowed, outlives the images */
    struct storage *storage;         /* borrowed likewise */
    uv_loop_t *loop;                 /* borrowed */
    const char *worker_path;         /* of containerd-lite-layer; copied */
    struct images_hooks hooks;       /* copied */
    struct hosts_options registries; /* copied */
};

/* Also deletes layer directories that no row names (a crash between rename and commit). */
int images_open(const struct images_options *opt, struct images **ret, struct err *reterr);
/* Cancels all jobs.  The loop must still be run afterwards for uv's close callbacks; memory is
 * freed in the last of them. */
void images_close(struct images *im);

/* If the store holds no image at all, load each *.tar of dir (the build's busybox).  Returns 0 when
 * there is nothing to do, 1 when done() will be called on the loop (serve after that); failures
 * are logged, not fatal. */
int images_embed(struct images *im, const char *dir, void (*done)(void *arg), void *arg);

/* ---- on the way of `run`: tens of microseconds ---- */

/* By reference, full id, "sha256:"id or unique id prefix: name, then id, as dockerd looks.  -ENOENT
 * `No such image: X:latest`; -EINVAL invalid reference, ambiguous prefix.  Release with
 * image_unref(). */
int images_lookup(struct images *im, const char *name, struct image **ret, struct err *reterr);

/* Inside the caller's transaction, after the containers row exists: keep the image's layers for
 * the container's life.  The rows go with the container (ON DELETE CASCADE). */
int images_hold(struct images *im, const char *container_id, const struct image *img,
                struct err *reterr);
/* Chain ids a container holds, bottom .. top (strv_free): its image may be gone already. */
int images_held(struct images *im, const char *container_id, char ***ret, struct err *reterr);
/* After the container's row is gone: deletes layers that nobody refers to any more, at once when
 * the image still exists (nothing to do), otherwise in the pool. */
void images_released(struct images *im, const char *image_id);

/* ---- queries ---- */

int images_count(struct images *im);
/* Familiar tags ("busybox:latest") of an image, sorted; vector for strv_free, NULL if none. */
char **images_tags(struct images *im, const char *image_id);

/* The same of what repositories know it by: "busybox@sha256:<hex>" (RepoDigests). */
char **images_digests(struct images *im, const char *image_id);

struct images_list_options {
    bool all;
    bool shared_size;
    const json_t *filters; /* borrowed; {"label":["a=b"]} or {"label":{"a=b":true}}; NULL: none */
};

/* Bytes on disk, for system df. */
struct images_usage {
    int64_t layers;      /* unpacked */
    int64_t total;       /* these, the blobs they came in */
    int64_t reclaimable; /* of the total: what no container needs */
};

int images_usage(struct images *im, struct images_usage *ret, struct err *reterr);

int images_list(struct images *im, const struct images_list_options *opt, json_t **ret,
                struct err *reterr);
int images_inspect(struct images *im, const char *name, json_t **ret, struct err *reterr);
int images_history(struct images *im, const char *name, json_t **ret, struct err *reterr);
/* Is the image of that name for this platform, as platform_parse() reads it?  NULL or "": it is.
 * ERR_INVALID, ERR_NOT_FOUND. */
int images_check_platform(struct images *im, const char *name, const char *platform,
                          struct err *reterr);

/* ---- changes ---- */

int images_tag(struct images *im, const char *name, const char *repo, const char *tag,
               struct err *reterr);
/* [{"Untagged":..},{"Deleted":..}]; 409 with dockerd's texts. */
int images_remove(struct images *im, const char *name, bool force, bool noprune, json_t **ret,
                  struct err *reterr);
/* {"ImagesDeleted":[..]|null,"SpaceReclaimed":n}; filters dangling, until, label, label!. */
int images_prune(struct images *im, const json_t *filters, json_t **ret, struct err *reterr);

/* ---- long operations ---- */

struct image_job;

struct image_job_callbacks {
    void *arg;
    /* One object of the progress stream, borrowed. */
    void (*progress)(void *arg, json_t *obj);
    /* Exactly once, err NULL on success, and the job is gone.  A failed one left nothing behind.
     * Never called from inside the function that made the job. */
    void (*done)(void *arg, const struct err *err);
};

/* docker-archive or OCI layout, plain or compressed, from in_fd until EOF (taken over, made
 * blocking for the worker; a pipe, socket or file).  quiet leaves out progress but not "Loaded
 * image". NULL if the worker cannot be started (reterr). */
struct image_job *images_load(struct images *im, int in_fd, bool quiet,
                              const struct image_job_callbacks *cb, struct err *reterr);

struct tarball;

/* docker save: names as the user gave them; a name without tag means all tags of the repository, an
 * id the image without a name.  The archive is docker-archive and OCI layout at once,
 * its files are open: what is removed meanwhile is still in it.  ERR_NOT_FOUND; tarball_free(). */
int images_save(struct images *im, const char *const *names, struct tarball **ret,
                struct err *reterr);
/* Write it to a client's socket, in the background; both are taken over.  Nobody is told the end:
 * the client counts the bytes.  One that reads nothing for pace_ms or twice that is cut off. */
void images_send(struct images *im, struct tarball *t, int fd, unsigned pace_ms);

struct image_import {
    const char *repo, *tag;     /* NULL or "": untagged */
    const char *message;        /* history comment */
    const char *const *changes; /* Dockerfile instructions, NULL-terminated; may be NULL */
    const char *platform;       /* "linux/amd64"; NULL: this machine */
};

/* Compare the store with its database: bytes of blobs, presence and ids of layers, configs and
 * manifests, directories that nobody knows.  With repair, orphans are removed and broken blobs
 * forgotten, so that the next pull brings them again.  Each problem is
 * {"stream":text,"aux":{"Kind", "Id","Problem","Repaired"}}, the end
 * {"stream":text,"aux":{"Images",..,"Problems","Repaired"}}; problems that are left are an error.
 * Waits for other operations before it looks for orphans. */
struct image_job *images_fsck(struct images *im, bool repair, const struct image_job_callbacks *cb,
                              struct err *reterr);

/* A root file system tar as a one-layer image; ends with {"status":"sha256:.."}.  Bad changes,
 * names and platforms fail at once (NULL, ERR_INVALID). */
struct image_job *images_import(struct images *im, int in_fd, const struct image_import *opt,
                                const struct image_job_callbacks *cb, struct err *reterr);

/* Would images_import() refuse these?  Looks at nothing else. */
int images_import_check(const struct image_import *opt, struct err *reterr);

struct image_download;

/* The same of what an http(s) URL gives; "http://" may be left out. */
struct image_download *images_import_url(struct images *im, const char *url,
                                         const struct image_import *opt,
                                         const struct image_job_callbacks *cb, struct err *reterr);
void image_download_cancel(struct image_download *d); /* no callback afterwards */

struct image_commit {
    const char *image_id; /* of the container's image: what it stands on */
    const char *container_id;
    const json_t *container_config; /* borrowed: what ran, for the history */
    const json_t *config;           /* borrowed: what of this describes an image goes into it */
    const char *const *changes;     /* as image_import; applied to it */
    const char *author, *comment;   /* NULL or "": none */
    const char *repo, *tag;         /* as image_import */
    bool step;                      /* it is a build's */
    int dir_fd;                     /* what the container wrote (layer_protocol.h); lent */
    const int *lower_fds;           /* what it is to be compared with, if it is a whole tree */
    size_t n_lowers;
    const char *const *args; /* of the worker: what dir_fd is, whose ids; NULL-terminated */
    /* dir_fd has been read to its end; arg as the callbacks'.  Negative: what was read is not to be
     * used.  May be NULL. */
    int (*packed)(void *arg, struct err *reterr);
};

/* Will names and changes do?  Looks at nothing else. */
int images_commit_check(const struct image_commit *opt, struct err *reterr);
/* A new image of the container's with what it wrote on top, in one layer; {"Id":"sha256:.."} comes
 * before the end.  The container must hold its layers (images_hold) until the end. */
struct image_job *images_commit(struct images *im, const struct image_commit *opt,
                                const struct image_job_callbacks *cb, struct err *reterr);

/* ---- builds ---- */

#define IMAGE_STEPS_MAX 4096 /* that are followed back */

struct image_derive {
    const char *parent;     /* id; NULL or "": nothing, an image without layers */
    const json_t *config;   /* borrowed: the container part as it is to be */
    const char *created_by; /* the history's new entry; NULL: none */
    const char *author;     /* NULL or "": none */
};

/* The next image with the parent's layers, a step of a build. */
int images_derive(struct images *im, const struct image_derive *o, char ret_id[ID_LEN + 1],
                  struct err *reterr);
/* A build made the image as a step on parent (NULL: that is known), found again by the key (64 hex
 * digits; NULL: not at all).  Steps are not listed, unless all are, and go with the images that
 * were made of them. */
void images_step_done(struct images *im, const char *id, const char *parent, const char *key);
bool images_step_find(struct images *im, const char *key, char ret_id[ID_LEN + 1]);
/* Did `source` become what it is by made_by right after what `parent` ("": nothing) is?  Then 1,
 * and the image of it that far, with this configuration; 0: no; -errno.  parent and config as of
 * images_derive(). */
int images_step_again(struct images *im, const char *source, const struct image_derive *o,
                      char ret_id[ID_LEN + 1], struct err *reterr);
/* It is what the build was for. */
void images_build_done(struct images *im, const char *id);
/* Is the one made, by steps, of the other, or the same? */
bool images_descends(struct images *im, const char *id, const char *ancestor);
/* How much of the cache is left, in bytes; 0: not said.  Moby's PruneOptions of BuildKit. */
struct build_keep {
    int64_t reserved; /* so much may stay whatever the others say */
    int64_t max_used; /* no more than this stays, unless reserved */
    int64_t min_free; /* no more than leaves so much of the file system free */
};

/* Remove steps that nothing else needs, the least recently used first, of those that filters (until,
 * label, label!; borrowed, may be NULL) leave: {"CachesDeleted":[..],"SpaceReclaimed":n}.  A step
 * counts with the layers that nothing but steps has. */
int images_build_prune(struct images *im, const json_t *filters, const struct build_keep *keep,
                       json_t **ret, struct err *reterr);

struct image_pull;

struct image_pull_options {
    const char *name;     /* "busybox", with tag or digest or without */
    const char *tag;      /* tag or digest; NULL or "": name's own; neither: all tags there are */
    const char *platform; /* NULL or "": this machine's */
    const struct registry_auth *auth; /* NULL: anonymous; copied */
};

/* docker pull.  Progress in the shape of dockerd's (JSON lines); a failure before the first line is
 * one of the request itself (the errors of registries become 404, 401 ... there).  Invalid names
 * and platforms fail at once (NULL). */
struct image_pull *images_pull(struct images *im, const struct image_pull_options *opt,
                               const struct image_job_callbacks *cb, struct err *reterr);
/* Blobs that are half here stay for the next pull.  No callback afterwards. */
void image_pull_cancel(struct image_pull *pull);

struct image_push;

struct image_push_options {
    const char *name;                 /* "registry.example/team/app", may have a tag */
    const char *tag;                  /* NULL or "": name's own; neither: all tags that are here */
    const char *platform;             /* NULL or "": whatever the image is for */
    const struct registry_auth *auth; /* NULL: anonymous; copied */
};

/* docker push.  All but invalid names is told in the stream, as Docker does. */
struct image_push *images_push(struct images *im, const struct image_push_options *opt,
                               const struct image_job_callbacks *cb, struct err *reterr);
void image_push_cancel(struct image_push *push); /* no callback afterwards */

/* ---- questions to registries ---- */

struct registry_query;

struct registry_query_callbacks {
    void *arg;
    /* Once, never from inside the function that asked; result is stolen, NULL with err. */
    void (*done)(void *arg, json_t *result, const struct err *err);
};

/* {"Status","IdentityToken"}: whether the credentials are good for auth->server. */
struct registry_query *images_login(struct images *im, const struct registry_auth *auth,
                                    const struct registry_query_callbacks *cb, struct err *reterr);
/* {"Descriptor","Platforms"} of what a name stands for in its registry; with `manifest` also
 * {"Manifest"}, its text. */
struct registry_query *images_distribution(struct images *im, const char *name, bool manifest,
                                           const struct registry_auth *auth,
                                           const struct registry_query_callbacks *cb,
                                           struct err *reterr);

struct image_manifest_put {
    const char *name;     /* with the tag or digest that it shall have */
    const char *manifest; /* its text: of an image, or of a list of them; MANIFEST_SIZE_MAX */
    /* Repository of the same registry that the image's blobs are mounted from; NULL or "": all are
     * where the manifest goes. */
    const char *from;
    const struct registry_auth *auth; /* may be NULL */
};

/* {"mediaType","digest","size"} of what the registry has under the name now. */
struct registry_query *images_put_manifest(struct images *im, const struct image_manifest_put *opt,
                                           const struct registry_query_callbacks *cb,
                                           struct err *reterr);

#define IMAGE_SEARCH_LIMIT 25
#define IMAGE_SEARCH_LIMIT_MAX 100

struct image_search {
    const char *term; /* "busybox", or "registry.example/busybox" */
    int64_t limit;
    const json_t *filters; /* {"key":["value"]}: is-official, is-automated, stars; NULL: none */
    const struct registry_auth *auth; /* may be NULL */
};

/* [{"name","description","star_count","is_official","is_automated"}] */
struct registry_query *images_search(struct images *im, const struct image_search *opt,
                                     const struct registry_query_callbacks *cb, struct err *reterr);
void registry_query_cancel(struct registry_query *q); /* no callback afterwards */

/* The client went away: stops the worker and removes what was staged.  No callback afterwards. */
void image_job_cancel(struct image_job *job);
