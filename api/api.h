/* Constants of the wire contract that the daemon and its clients share (Docker Engine API). */
#pragma once

#define API_VERSION "1.51" /* advertised, and assumed for paths without a /vX.Y prefix */
#define API_VERSION_MIN "1.24"

/* A version as a number that compares: 1.51 is 151. */
#define API_VERSION_NUM(major, minor) ((major) * 100 + (minor))
#define API_VERSION_MAX_NUM API_VERSION_NUM(1, 51)
#define API_VERSION_MIN_NUM API_VERSION_NUM(1, 24)

#define API_DEFAULT_SOCKET "/var/run/daemon.sock"

#define API_TYPE_JSON "application/json"
#define API_TYPE_TEXT "text/plain; charset=utf-8"
#define API_TYPE_TAR "application/x-tar"
#define API_TYPE_RAW_STREAM "application/vnd.docker.raw-stream"
#define API_TYPE_MUX_STREAM "application/vnd.docker.multiplexed-stream"
