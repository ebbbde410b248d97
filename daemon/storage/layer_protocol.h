/* What the daemon and containerd-lite-layer say to each other.  The daemon includes this too.
 *
 * argv: containerd-lite-layer unpack|split [--max-bytes=N] [--max-entries=N] [--blob] [--keep]
 *                                    [--whole] [--subvolume] [--parent]
 *       containerd-lite-layer fill TARGET: what an overlay of the directories on fd 0 (paths, a
 *       line each, top first) has at TARGET is copied into fd 4; no sandbox but a mount namespace,
 *       no archive is read; "ok - 0 -"
 * fd 0  the archive, read until EOF, plain or gzip, bzip2, xz, zstd
 * fd 3  reports, one line each:
 *         progress BYTES         of input consumed, at most every 100 ms
 *         ok DIFF_ID BYTES BLOB  unpack: sha256 of the uncompressed stream, size of its files,
 *                                sha256 of the input as it came ("-" without --blob)
 *         ok - BYTES -           split
 *         error TEXT             for the user, the last line
 *       End of file without "ok" or "error" means that the worker died.
 * fd 4  the directory that is filled; the worker is chrooted into it
 * fd 5  with --keep (which implies --blob): a file that gets a copy of the input
 * fd 6  with --parent: the directory of the layer below
 *
 * --whole (unpack): what is made is not the layer alone, with overlay's whiteouts, but the whole
 * tree up to it: the parent's (if any) is copied first, and whiteouts remove.  --subvolume: the same
 * on btrfs; fd 4 is the directory in which LAYER_DIFF is made as a subvolume, a snapshot of the
 * parent.
 */
#pragma once

#define LAYER_FD_REPORT 3
#define LAYER_FD_DIR 4
#define LAYER_FD_KEEP 5
#define LAYER_FD_PARENT 6

#define LAYER_DIFF "diff"

#define LAYER_LINE_MAX 1024

/* Bombs: a limit on what one archive may make.  Overridable by the flags above. */
#define LAYER_MAX_BYTES (256LL << 30)
#define LAYER_MAX_ENTRIES (8LL << 20)
#define SPLIT_MAX_ENTRIES (64LL << 10)
