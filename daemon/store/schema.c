#include "schema.h"

#include "mem.h"

/* One entry per version; never edit one that has been released, append. */
const char *const schema_migrations[] = {
    /* 1 */
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"

    /* Images.  Ids are 64 hex digits without the algorithm.  config is the image's config JSON,
     * byte for byte, so that its sha256 is the id. */
    "CREATE TABLE images(id TEXT PRIMARY KEY, config BLOB NOT NULL, size INTEGER NOT NULL,"
    " created INTEGER NOT NULL, loaded INTEGER NOT NULL) WITHOUT ROWID;"
    /* chain_id, diff_id: 64 hex digits; parent is a chain id or NULL for a bottom layer. */
    "CREATE TABLE layers(chain_id TEXT PRIMARY KEY, diff_id TEXT NOT NULL, parent TEXT"
    " REFERENCES layers(chain_id), size INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX layers_parent ON layers(parent);"
    /* An image holds one reference on each of its layers; position 0 is the bottom. */
    "CREATE TABLE image_layers(image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
    " position INTEGER NOT NULL, chain_id TEXT NOT NULL REFERENCES layers(chain_id),"
    " PRIMARY KEY(image_id, position)) WITHOUT ROWID;"
    "CREATE INDEX image_layers_chain ON image_layers(chain_id);"
    /* name: canonical, e.g. docker.io/library/busybox:latest */
    "CREATE TABLE tags(name TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images(id)"
    " ON DELETE CASCADE, tagged INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX tags_image ON tags(image_id);"

    /* Containers.  config is what inspect shows as Config and HostConfig (and what start needs);
     * state is the small mutable part.  image_id has no foreign key: a forced image removal leaves
     * the container with its layers, which container_layers keeps alive. */
    "CREATE TABLE containers(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER"
    " NOT NULL, image_id TEXT NOT NULL, config TEXT NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE container_layers(container_id TEXT NOT NULL REFERENCES containers(id)"
    " ON DELETE CASCADE, position INTEGER NOT NULL, chain_id TEXT NOT NULL"
    " REFERENCES layers(chain_id), PRIMARY KEY(container_id, position)) WITHOUT ROWID;"
    "CREATE INDEX container_layers_chain ON container_layers(chain_id);"

    /* Leases.  Addresses and ports are taken at start and given back after exit. */
    "CREATE TABLE addresses(network TEXT NOT NULL, address INTEGER NOT NULL, container_id TEXT"
    " NOT NULL REFERENCES containers(id) ON DELETE CASCADE, PRIMARY KEY(network, address))"
    " WITHOUT ROWID;"
    "CREATE INDEX addresses_container ON addresses(container_id);"
    "CREATE TABLE ports(proto TEXT NOT NULL, host_port INTEGER NOT NULL, host_ip TEXT NOT NULL,"
    " container_port INTEGER NOT NULL, container_id TEXT NOT NULL REFERENCES containers(id)"
    " ON DELETE CASCADE, PRIMARY KEY(proto, host_port, host_ip)) WITHOUT ROWID;"
    "CREATE INDEX ports_container ON ports(container_id);"
    /* slot * 65536 + base is the first host id of a --userns=auto container. */
    "CREATE TABLE id_ranges(slot INTEGER PRIMARY KEY, container_id TEXT NOT NULL UNIQUE"
    " REFERENCES containers(id) ON DELETE CASCADE);",

    /* 2: blobs, as images came.  Digests are 64 hex digits without the algorithm. */
    "CREATE TABLE blobs(digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;"
    /* A blob unpacks to the layers of that diff id, and lives as long as one of them. */
    "CREATE TABLE layer_blobs(diff_id TEXT NOT NULL, digest TEXT NOT NULL REFERENCES blobs(digest),"
    " media_type TEXT NOT NULL, PRIMARY KEY(diff_id, digest)) WITHOUT ROWID;"
    "CREATE INDEX layer_blobs_digest ON layer_blobs(digest);"
    "CREATE INDEX layers_diff ON layers(diff_id);"
    /* Manifests and indexes that an image came with, byte for byte.  They are small: in here they
     * change in the transaction that records the image. */
    "CREATE TABLE image_manifests(image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
    " digest TEXT NOT NULL, media_type TEXT NOT NULL, body BLOB NOT NULL,"
    " UNIQUE(image_id, digest));"
    /* repository: canonical name without tag; digest: of a manifest or an index.  RepoDigests. */
    "CREATE TABLE repo_digests(repository TEXT NOT NULL, digest TEXT NOT NULL, image_id TEXT NOT"
    " NULL REFERENCES images(id) ON DELETE CASCADE, PRIMARY KEY(repository, digest))"
    " WITHOUT ROWID;"
    "CREATE INDEX repo_digests_image ON repo_digests(image_id);"
    /* Repositories that are known to have a blob: a push mounts from there. */
    "CREATE TABLE blob_sources(digest TEXT NOT NULL REFERENCES blobs(digest) ON DELETE CASCADE,"
    " repository TEXT NOT NULL, PRIMARY KEY(digest, repository)) WITHOUT ROWID;",

    /* 3: volumes.  options and labels are JSON objects; anonymous: made for one container, without
     * a name from the user.  A container holds those it mounts. */
    "CREATE TABLE volumes(name TEXT PRIMARY KEY, options TEXT NOT NULL, labels TEXT NOT NULL,"
    " created INTEGER NOT NULL, anonymous INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE volume_users(volume TEXT NOT NULL REFERENCES volumes(name), container_id TEXT"
    " NOT NULL REFERENCES containers(id) ON DELETE CASCADE, PRIMARY KEY(volume, container_id))"
    " WITHOUT ROWID;"
    "CREATE INDEX volume_users_container ON volume_users(container_id);",

    /* 4: networks that users make.  config is a JSON object: what was asked for, and what was
     * decided (engine/networks.c).  In `addresses` they go by their id, the default one by
     * "bridge".
     */
    "CREATE TABLE networks(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL,"
    " created INTEGER NOT NULL, config TEXT NOT NULL) WITHOUT ROWID;",

    /* 5: what builds made.  parent: the image that a step was run on, which may be gone.  step: it is
     * there for the steps after it and for the next build only, nobody asked for it by itself. */
    "CREATE TABLE image_parents(image_id TEXT PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE,"
    " parent TEXT NOT NULL, step INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX image_parents_parent ON image_parents(parent);"
    /* key: digest of a step and what it was run on. */
    "CREATE TABLE build_steps(key TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images(id)"
    " ON DELETE CASCADE, used INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX build_steps_image ON build_steps(image_id);",
};

const int schema_version = ARRAY_SIZE(schema_migrations);
