/* checkpoint create|ls|rm. */
#include <stdio.h>

#include "commands.h"
#include "json.h"
#include "str.h"
#include "url.h"

const struct opt checkpoint_create_opts[] = {
    OPT_STRING("checkpoint-dir", 0, struct checkpoint_options, dir,
               "Use a custom checkpoint storage directory"),
    OPT_BOOL("leave-running", 0, struct checkpoint_options, leave_running,
             "Leave the container running after checkpoint"),
    OPT_END,
};

const struct opt checkpoint_opts[] = {
    OPT_STRING("checkpoint-dir", 0, struct checkpoint_options, dir,
               "Use a custom checkpoint storage directory"),
    OPT_END,
};

int cmd_checkpoint_create(struct invocation *inv)
{
    const struct checkpoint_options *o = inv->options;
    _cleanup_free_ char *url = url_format("/containers/%s/checkpoints", inv->args[0]);
    _cleanup_json_ json_t *body =
        json_pack("{s:s, s:s, s:b}", "CheckpointID", inv->args[1], "CheckpointDir",
                  o->dir ? o->dir : "", "Exit", (int)!o->leave_running);
    struct err e = {0};

    if (client_post(inv->client, url, body, NULL, &e) < 0)
        return cli_fail(inv, &e);
    printf("%s\n", inv->args[1]);
    return 0;
}

int cmd_checkpoint_ls(struct invocation *inv)
{
    const struct checkpoint_options *o = inv->options;
    _cleanup_free_ char *url = url_format("/containers/%s/checkpoints", inv->args[0]);
    _cleanup_json_ json_t *reply = NULL;
    struct err e = {0};
    const json_t *one;
    size_t i;

    url_add(&url, "dir", str_empty(o->dir) ? NULL : o->dir);
    if (client_get(inv->client, url, &reply, &e) < 0)
        return cli_fail(inv, &e);
    printf("CHECKPOINT NAME\n");
    json_array_foreach (reply, i, one)
        printf("%s\n", json_get_str(one, "Name", ""));
    return 0;
}

int cmd_checkpoint_rm(struct invocation *inv)
{
    const struct checkpoint_options *o = inv->options;
    _cleanup_free_ char *url =
        url_format("/containers/%s/checkpoints/%s", inv->args[0], inv->args[1]);
    struct request request = {.method = "DELETE"};
    struct err e = {0};

    url_add(&url, "dir", str_empty(o->dir) ? NULL : o->dir);
    request.path = url;
    return client_call(inv->client, &request, NULL, &e) < 0 ? cli_fail(inv, &e) : 0;
}
