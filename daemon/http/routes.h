/* Every operation of the API that is served, as one table (api/openapi.yaml describes them). */
#pragma once

#include "http.h"

extern const struct http_route http_routes[];

/* ---- handlers: one file per resource ---- */

void system_ping(struct http_req *req);
void system_version(struct http_req *req);
void system_info(struct http_req *req);
void system_df(struct http_req *req);
void system_events(struct http_req *req);
void system_metrics(struct http_req *req);
void system_empty_list(struct http_req *req);
void system_not_swarm(struct http_req *req);
void system_no_plugin(struct http_req *req);
void system_not_swarm_volume(struct http_req *req);

void containers_create(struct http_req *req);
void containers_list(struct http_req *req);
void containers_inspect(struct http_req *req);
void containers_start(struct http_req *req);
void containers_stop(struct http_req *req);
void containers_restart(struct http_req *req);
void containers_kill(struct http_req *req);
void containers_pause(struct http_req *req);
void containers_unpause(struct http_req *req);
void containers_rename(struct http_req *req);
void containers_update(struct http_req *req);
void containers_resize(struct http_req *req);
void checkpoints_create(struct http_req *req);
void checkpoints_list(struct http_req *req);
void checkpoints_remove(struct http_req *req);
void containers_top(struct http_req *req);
void containers_remove(struct http_req *req);
void containers_commit(struct http_req *req);
void containers_prune(struct http_req *req);

void archive_read(struct http_req *req);
void archive_write(struct http_req *req);
void contents_export(struct http_req *req);
void contents_changes(struct http_req *req);

void streams_logs(struct http_req *req);
void streams_stats(struct http_req *req);
void streams_wait(struct http_req *req);
void streams_attach(struct http_req *req);
void streams_attach_ws(struct http_req *req);

void exec_create(struct http_req *req);
void exec_start(struct http_req *req);
void exec_resize(struct http_req *req);
void exec_inspect(struct http_req *req);

void images_route_list(struct http_req *req);
void images_route_inspect(struct http_req *req);
void images_route_history(struct http_req *req);
void images_route_create(struct http_req *req);
void pulls_start(struct http_req *req);                    /* images_route_create() of fromImage */
void imports_start(struct http_req *req, const char *url); /* of fromSrc, unless it is "-" */
void pushes_start(struct http_req *req);
void fsck_start(struct http_req *req);
void images_route_load(struct http_req *req);
void images_route_tag(struct http_req *req);
void images_route_remove(struct http_req *req);
void images_route_prune(struct http_req *req);
void images_route_save(struct http_req *req);

void build_start(struct http_req *req);
void build_prune(struct http_req *req);

void registries_login(struct http_req *req);
void registries_distribution(struct http_req *req);
void registries_put_manifest(struct http_req *req);
void registries_search(struct http_req *req);

void networks_list(struct http_req *req);
void networks_inspect(struct http_req *req);
void networks_create(struct http_req *req);
void networks_connect(struct http_req *req);
void networks_disconnect(struct http_req *req);
void networks_remove(struct http_req *req);
void networks_prune(struct http_req *req);
void volumes_list(struct http_req *req);
void volumes_create(struct http_req *req);
void volumes_inspect(struct http_req *req);
void volumes_remove(struct http_req *req);
void volumes_prune(struct http_req *req);
