/* compose: handed over to the Compose that is installed, which finds the daemon by DOCKER_HOST. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands.h"
#include "str.h"

/* Compose 2 as a program of its own has the name that Compose 1 had. */
static const char program[] = "docker-compose";

int cmd_compose(struct invocation *inv)
{
    _cleanup_free_ char **argv = xcalloc((size_t)inv->n_args + 2, sizeof(*argv));
    struct err e = {0};

    argv[0] = (char *)program;
    for (int i = 0; i < inv->n_args; i++)
        argv[i + 1] = inv->args[i];
    setenv("DOCKER_HOST", inv->client->transport.host, 1);
    execvp(program, argv);
    err_set(&e, ERR_SYSTEM, errno, "cannot run %s: %s%s", program, err_text(errno),
            errno == ENOENT ? " (install the package docker-compose)" : "");
    return cli_fail(inv, &e);
}
