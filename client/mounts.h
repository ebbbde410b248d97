/* --mount, --volume, --tmpfs, --device. */
#pragma once

#include "values.h"

/* One --mount as a mount.Mount of the Engine API. */
int value_mount(const char *value, json_t **ret_json, struct err *reterr);
/* One --volume into "HostConfig.Binds" or "Volumes" of a create request. */
int mounts_add_volume(json_t **body, const char *spec, struct err *reterr);
/* One --tmpfs into "HostConfig.Tmpfs". */
void mounts_add_tmpfs(json_t **body, const char *spec);
/* One --device into "HostConfig.Devices", or "HostConfig.DeviceRequests" if it is a CDI name. */
int mounts_add_device(json_t **body, const char *spec, struct err *reterr);
