/* An image of what a container has become. */
#include <stdio.h>

#include "commands.h"
#include "json.h"
#include "str.h"
#include "url.h"

const struct commit_options commit_defaults = {.pause = true};

const struct opt commit_opts[] = {
    OPT_STRING("author", 'a', struct commit_options, author,
               "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")"),
    OPT_LIST("change", 'c', "list", struct commit_options, changes, value_string,
             "Apply Dockerfile instruction to the created image"),
    OPT_STRING("message", 'm', struct commit_options, message, "Commit message"),
    OPT_BOOL("no-pause", 0, struct commit_options, no_pause,
             "Disable pausing container during commit"),
    OPT_BOOL("pause", 'p', struct commit_options, pause,
             "Pause container during commit (default true)"),
    OPT_END,
};

int cmd_commit(struct invocation *inv)
{
    const struct commit_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/commit");
    _cleanup_json_ json_t *reply = NULL;
    struct err e = {0};

    url_add(&url, "container", inv->args[0]);
    /* The daemon knows where a name ends and its tag begins. */
    url_add(&url, "repo", inv->n_args > 1 ? inv->args[1] : NULL);
    url_add(&url, "author", o->author);
    url_add(&url, "comment", o->message);
    url_add(&url, "pause", o->pause && !o->no_pause ? "1" : "0");
    for (size_t i = 0; o->changes && o->changes[i]; i++)
        url_add(&url, "changes", o->changes[i]);
    if (client_post(inv->client, url, NULL, &reply, &e) < 0)
        return cli_fail(inv, &e);
    puts(json_get_str(reply, "Id", ""));
    return 0;
}
