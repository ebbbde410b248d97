/* What the daemon and containerd-lite-layer say to each other.  The daemon includes this too.
 *
 * argv: containerd-lite-layer unpack|split [--max-bytes=N] [--max-entries=N] [--blob]
 *                                    [--keep|--follow] [--whole] [--subvolume] [--parent]
 *       containerd-lite-layer pack [--tree|--whole] [--tell] [--lowers=N] [--uid-map=I:O:C]... [--gid-map=I:O:C]...
 *       containerd-lite-layer changes [--whole] [--lowers=N] [--uid-map=I:O:C]... [--gid-map=I:O:C]...
 *       containerd-lite-layer archive stat|get|put PATH [--plan] [--keep-kind] [--owner=USER]
 *       containerd-lite-layer archive put PATH ... [--make] [--name] [--mode=OCTAL]
 *       containerd-lite-layer archive pick / --plan --source=PATTERN... [--extract]
 *       containerd-lite-layer fill TARGET: what an overlay of the directories on fd 0 (paths, a
 *       line each, top first) has at TARGET is copied into fd 4; no sandbox but a mount namespace,
 *       no archive is read; "ok - 0 - 0"
 *
 * unpack     a layer's tar becomes a directory that overlay can use as a lower
 * split      the files of an outer archive (docker-archive, OCI layout) become files of a directory
 * pack       the directory (overlay's upper, or a layer) becomes a layer's tar with whiteouts; the
 *            root itself has no entry.  With --tree the directory and its N lowers, merged as
 *            overlay would, become one tar without whiteouts.  Sorted, times in whole seconds, no
 *            sockets: the same tree gives the same bytes.  What is mounted below is not seen.
 * changes    what the directory changes in its N lowers, as `docker diff` has it: records of a
 *            letter (A added, C changed, D deleted), an absolute path and a NUL; a directory comes
 *            before what is in it
 *
 * archive    what PATH is in a container's own view of its files (stat), that and a tar of it
 * (get), or a tar unpacked into the directory that it is (put).  The tar's names begin with the
 *            last part of PATH, "." if it ends in "/.".  No directory is filled but the container's
 *            own, which it may change meanwhile.
 * --plan     fd 4 is no mount namespace but a plan (shim/plan.h): the container does not run.  If
 *            its root has LAYER_SCRATCH/upper for its upper directory, that is made in memory
 * --keep-kind  put: what is a directory stays one, what is none does not become one
 * --owner    put: everything belongs to this user of the container ("name", "uid:gid" ...)
 * --make     put: PATH is made if it is not there, and what is missing above it
 * --name     put: the archive holds one file; if PATH is no directory, that becomes PATH
 * --mode     put: of all that is no symlink
 *
 * pick       a tar of what the patterns name (path.Match of Go, a component at a time), for COPY: the
 *            content of directories, files by their last names, with --extract archives as what is in
 *            them.  All else belongs to root.  "ok DIGEST SOURCES - FILES": a digest of everything but times, how
 *            many paths the patterns stand for, and how many of these are files of their own
 *
 * --whole    unpack: what is made is not the layer alone, with overlay's whiteouts, but the whole
 *            tree up to it: the parent's (if any) is copied first, and whiteouts remove
 *            pack, changes: the directory is such a tree, a copy of what its lowers are together,
 *            and what differs from them is packed or told
 * --tell     pack: the tar goes to a file that somebody follows and hashes: `wrote` is said of it,
 *            and DIFF_ID and BLOB are "-"
 * --subvolume  unpack: the same on btrfs; fd 4 is the directory in which LAYER_DIFF is made as a subvolume,
 *            a snapshot of the parent
 * --uid-map, --gid-map  pack, changes: the directory (never a lower) was written by a user
 *            namespace: ids from O up to O+C are I up to I+C in the archive, as a line "I O C" of
 *            /proc/<pid>/uid_map; others become 65534
 *
 * fd 0  unpack, split: the archive, read until EOF, plain or gzip, bzip2, xz, zstd
 * fd 1  pack: the tar; changes: the records; archive: "MODE SIZE SECONDS NANOSECONDS" in decimal
 *       (st_mode, the time of its last change), the last part of PATH and where it leads if it is a
 *       symlink (as far as it exists), a NUL behind each, then the tar.  Never O_NONBLOCK
 * fd 3  reports, one line each:
 *         progress BYTES         of input consumed (pack: of tar made), at most every 100 ms
 *         file BYTES NAME        split: what follows of the archive is this file of the directory,
 *             which begins like a layer; not said if the name has control characters or is long
 *         wrote BYTES            so many of it (of the tar, pack) are there; after the last ones it is no more spoken of
 *         ok DIFF_ID BYTES BLOB LENGTH
 *             DIFF_ID, BYTES: sha256 of the uncompressed tar, size of the files in it ("-" and the
 *             size of all files for split; "-" and the number of records for changes)
 *             BLOB, LENGTH: sha256 ("-" without --blob) and number of the bytes as they came, or
 *             went out; "-" and 0 for split and changes
 *         error TEXT             for the user, the last line
 *         refused KIND TEXT      the same from archive, with an enum err_kind
 *       End of file without "ok" or "error" means that the worker died.
 * fd 4  the directory that is filled or read; the worker is chrooted into it.  archive: a mount
 *       namespace or a plan
 * fd 5  unpack --keep (which implies --blob): a file that gets a copy of the input
 *       pack --tree or --whole, changes, from here up: the lowers, top first, of the host's mount table
 *       unpack --follow: an eventfd.  The input is a regular file that still grows; what is added
 * to the counter says how many bytes more of it are valid, and LAYER_FOLLOW_END with it that these
 * were the last.  Whoever has no more to add and no end to tell kills the worker. fd 6  unpack
 * --parent: the directory of the layer below
 */
#pragma once

#include <stdint.h>

#define LAYER_FD_REPORT 3
#define LAYER_FD_DIR 4
#define LAYER_FD_KEEP 5
#define LAYER_FD_FOLLOW 5
#define LAYER_FD_PARENT 6
#define LAYER_FD_LOWER 5

#define LAYER_DIFF "diff"

/* Any directory of the host that is not needed to mount a container. */
#define LAYER_SCRATCH "/sys"
#define LAYER_STAT_MAX (2 * 4096 + 128) /* bytes of a record of archive */

/* An image's layers and the init layer. */
#define LAYER_LOWERS_MAX 160

#define LAYER_LINE_MAX 1024

/* Far above every count of bytes, and far below what makes a write to an eventfd wait. */
#define LAYER_FOLLOW_END (UINT64_C(1) << 62)

/* Bombs: a limit on what one archive may make.  Overridable by the flags above. */
#define LAYER_MAX_BYTES (256LL << 30)
#define LAYER_MAX_ENTRIES (2LL << 20)
/* Of a tree that is packed, compared or copied, which may be of many layers. */
#define TREE_MAX_ENTRIES (8LL << 20)
/* Beyond the first bytes of an archive: how many times it may be larger than its input.  Deflate
 * cannot do more than 1032, what is in images seldom more than 20. */
#define LAYER_FREE_BYTES (1LL << 30)
#define LAYER_MAX_EXPANSION 250
#define SPLIT_MAX_ENTRIES (64LL << 10)
