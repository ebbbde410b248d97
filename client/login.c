/* login, logout, search. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "commands.h"
#include "credentials.h"
#include "format.h"
#include "human.h"
#include "json.h"
#include "str.h"
#include "url.h"

#define SECRET_MAX 65536
#define DESCRIPTION_WIDTH 45

const struct opt login_opts[] = {
    OPT_STRING("password", 'p', struct login_options, password,
               "Password or Personal Access Token (PAT)"),
    OPT_BOOL("password-stdin", 0, struct login_options, password_stdin,
             "Take the Password or Personal Access Token (PAT) from stdin"),
    OPT_STRING("username", 'u', struct login_options, username, "Username"),
    OPT_END,
};

const struct search_options search_defaults = {.limit = 0};

const struct opt search_opts[] = {
    OPT_LIST("filter", 'f', "filter", struct search_options, filters, value_filter,
             "Filter output based on conditions provided"),
    OPT_STRING("format", 0, struct search_options, format,
               "Pretty-print search using a Go template"),
    OPT_INT("limit", 0, struct search_options, limit, "Max number of search results"),
    OPT_BOOL("no-trunc", 0, struct search_options, no_trunc, "Don't truncate output"),
    OPT_END,
};

/* ---- asking ---- */

/* Without the line end; NULL at the end of the input. */
static char *read_line(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n = getline(&line, &room, stdin);

    if (n < 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

static char *ask(const char *question, bool hidden)
{
    struct termios before, quiet;
    bool changed = hidden && tcgetattr(STDIN_FILENO, &before) == 0;
    char *line;

    /* Before the question, and without dropping what was typed ahead: a fast answer is neither
     * shown nor lost. */
    if (changed) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
    }
    printf("%s: ", question);
    fflush(stdout);
    line = read_line();
    if (changed) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
        printf("\n");
    }
    return line;
}

static char *read_secret(void)
{
    char *text = xcalloc(1, SECRET_MAX + 1);
    size_t n = fread(text, 1, SECRET_MAX, stdin);

    while (n > 0 && strchr("\r\n", text[n - 1]))
        n--;
    text[n] = '\0';
    return text;
}

/* Fill what the options left open. */
static int complete(const struct login_options *o, struct credentials *c, struct err *reterr)
{
    if (o->password && o->password_stdin)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "conflicting options: cannot specify both --password and --password-stdin");
    if (o->password_stdin && str_empty(o->username))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "the --password-stdin option requires --username to be set");
    if (o->password)
        fprintf(stderr, "WARNING! Using --password via the CLI is insecure. Use "
                        "--password-stdin.\n");
    if ((str_empty(o->username) || (!o->password && !o->password_stdin)) && !isatty(STDIN_FILENO) &&
        !o->password_stdin)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "Error: Cannot perform an interactive login from a non TTY device");
    c->username = str_empty(o->username) ? ask("Username", false) : xstrdup(o->username);
    c->password = o->password         ? xstrdup(o->password)
                  : o->password_stdin ? read_secret()
                                      : ask("Password", true);
    if (str_empty(c->username))
        return err_set(reterr, ERR_INVALID, EINVAL, "Error: Non-null Username Required");
    if (str_empty(c->password))
        return err_set(reterr, ERR_INVALID, EINVAL, "Error: Password Required");
    return 0;
}

static int check_with_daemon(struct client *client, const char *server, struct credentials *c,
                             json_t **ret, struct err *reterr)
{
    _cleanup_json_ json_t *body = json_object();
    const char *token;
    int r;

    json_object_set_new(body, "serveraddress", json_string(server));
    if (c->username)
        json_object_set_new(body, "username", json_string(c->username));
    if (c->password)
        json_object_set_new(body, "password", json_string(c->password));
    if (c->identity_token)
        json_object_set_new(body, "identitytoken", json_string(c->identity_token));
    r = client_post(client, "/auth", body, ret, reterr);
    token = json_get_str(*ret, "IdentityToken", NULL);
    if (r == 0 && !str_empty(token)) {
        free(c->identity_token);
        c->identity_token = xstrdup(token);
    }
    return r;
}

static int store(const char *server, const struct credentials *c, struct err *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r = credentials_store(server, c, &path, reterr);

    if (r >= 0 && path)
        fprintf(stderr,
                "\nWARNING! Your credentials are stored unencrypted in '%s'.\nConfigure a "
                "credential helper to remove this warning. See\n"
                "https://docs.docker.com/go/credential-store/\n\n",
                path);
    return r;
}

/* Without options the ones that are stored are tried again, as Docker does. */
static bool stored_are_good(struct invocation *inv, const char *server, json_t **ret)
{
    const struct login_options *o = inv->options;
    struct credentials c = {0};
    struct err e;
    bool good;

    if (o->username || o->password || o->password_stdin)
        return false;
    good = credentials_get(server, &c, &e) >= 0 && (c.username || c.identity_token) &&
           check_with_daemon(inv->client, server, &c, ret, &e) >= 0;
    credentials_done(&c);
    return good;
}

int cmd_login(struct invocation *inv)
{
    _cleanup_free_ char *server = credentials_server(inv->n_args ? inv->args[0] : "");
    _cleanup_json_ json_t *reply = NULL;
    struct credentials c = {0};
    struct err e = {0};
    int r = 0;

    if (!stored_are_good(inv, server, &reply)) {
        r = complete(inv->options, &c, &e);
        if (r >= 0)
            r = check_with_daemon(inv->client, server, &c, &reply, &e);
        if (r >= 0)
            r = store(server, &c, &e);
        credentials_done(&c);
    }
    if (r < 0)
        return cli_fail(inv, &e);
    printf("%s\n", json_get_str(reply, "Status", "Login Succeeded"));
    return 0;
}

int cmd_logout(struct invocation *inv)
{
    _cleanup_free_ char *server = credentials_server(inv->n_args ? inv->args[0] : "");
    struct err e = {0};
    int r = credentials_erase(server, &e);

    if (r < 0)
        return cli_fail(inv, &e);
    printf(r ? "Removing login credentials for %s\n" : "Not logged in to %s\n", server);
    return 0;
}

/* ---- search ---- */

static const struct column search_columns[] = {
    {"Description", "DESCRIPTION"}, {"IsAutomated", "AUTOMATED"},
    {"IsOfficial", "OFFICIAL"},     {"Name", "NAME"},
    {"StarCount", "STARS"},         {NULL, NULL},
};

static json_t *search_row(const json_t *item, bool no_trunc)
{
    const char *text = json_get_str(item, "description", "");
    _cleanup_free_ char *cut = no_trunc ? xstrdup(text) : ellipsis(text, DESCRIPTION_WIDTH);

    for (char *p = cut; *p; p++)
        *p = (char)((unsigned char)*p < ' ' ? ' ' : *p);
    return json_pack("{s:s,s:s,s:s,s:s,s:I}", "Description", cut, "IsAutomated",
                     json_get_bool(item, "is_automated", false) ? "[OK]" : "", "IsOfficial",
                     json_get_bool(item, "is_official", false) ? "[OK]" : "", "Name",
                     json_get_str(item, "name", ""), "StarCount",
                     (json_int_t)json_get_int(item, "star_count", 0));
}

static int get_results(struct invocation *inv, json_t **ret, struct err *reterr)
{
    const struct search_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/images/search"), *filters = filters_json(o->filters);
    _cleanup_free_ char *header = credentials_header(inv->args[0]), *limit = NULL;
    struct request req = {.method = "GET", .header = header};

    url_add(&url, "term", inv->args[0]);
    url_add(&url, "filters", filters);
    if (o->limit) {
        limit = xasprintf("%lld", (long long)o->limit);
        url_add(&url, "limit", limit);
    }
    req.path = url;
    return client_call(inv->client, &req, ret, reterr);
}

int cmd_search(struct invocation *inv)
{
    static const char plain[] = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
    const struct search_options *o = inv->options;
    _cleanup_json_ json_t *list = NULL;
    struct format f;
    struct err e = {0};
    int r = format_init(&f, o->format, plain, NULL, "*formatter.searchContext", search_columns, &e);

    if (r == 0)
        r = get_results(inv, &list, &e);
    for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
        _cleanup_json_ json_t *row = search_row(json_array_get(list, i), o->no_trunc);

        r = format_row(&f, row, NULL, &e);
    }
    if (r == 0)
        r = format_finish(&f, &e);
    format_done(&f);
    return r < 0 ? cli_fail(inv, &e) : 0;
}
