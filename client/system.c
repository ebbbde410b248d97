/* version and info. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "commands.h"
#include "info.h"
#include "json.h"
#include "str.h"
#include "template.h"

const struct opt format_opts[] = {
    OPT_STRING("format", 'f', struct format_options, format, FORMAT_HELP_SHORT),
    OPT_END,
};

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "unknown"
#endif

static json_t *client_part(const struct client *c)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Version", CTL_VERSION,
                     "ApiVersion", c->version, "DefaultAPIVersion", API_VERSION, "GitCommit", "",
                     "GoVersion", "", "Os", "linux", "Arch", ARCH, "Context", "default");
}

static void line(const char *label, const char *value)
{
    printf(" %-18s %s\n", label, value);
}

static void print_client(const json_t *client)
{
    const char *now = json_get_str(client, "ApiVersion", "");
    const char *best = json_get_str(client, "DefaultAPIVersion", "");

    printf("Client:\n");
    line("Version:", json_get_str(client, "Version", ""));
    if (streq(now, best))
        line("API version:", now);
    else
        printf(" %-18s %s (downgraded from %s)\n", "API version:", now, best);
    line("OS/Arch:", "linux/" ARCH);
    line("Context:", "default");
}

static void print_component(const json_t *c)
{
    const json_t *d = json_get(c, "Details");
    const char *name = json_get_str(c, "Name", "");

    printf(" %s:\n", name);
    printf("  %-17s %s\n", "Version:", json_get_str(c, "Version", ""));
    if (json_get(d, "ApiVersion")) {
        printf("  %-17s %s (minimum version %s)\n",
               "API version:", json_get_str(d, "ApiVersion", ""),
               json_get_str(d, "MinAPIVersion", ""));
        if (*json_get_str(d, "GoVersion", ""))
            printf("  %-17s %s\n", "Go version:", json_get_str(d, "GoVersion", ""));
        printf("  %-17s %s\n", "Git commit:", json_get_str(d, "GitCommit", ""));
        printf("  %-17s %s\n", "Built:", json_get_str(d, "BuildTime", ""));
        printf("  %-17s %s/%s\n", "OS/Arch:", json_get_str(d, "Os", ""),
               json_get_str(d, "Arch", ""));
        printf("  %-17s %s\n", "Experimental:", json_get_str(d, "Experimental", "false"));
    } else if (json_get(d, "GitCommit")) {
        printf("  %-17s %s\n", "GitCommit:", json_get_str(d, "GitCommit", ""));
    }
}

static void print_server(const json_t *server)
{
    const json_t *components = json_get(server, "Components");
    const char *platform = json_get_str(json_get(server, "Platform"), "Name", "");

    printf("\nServer:%s%s\n", *platform ? " " : "", platform);
    if (!json_array_size(components)) {
        line("Version:", json_get_str(server, "Version", ""));
        line("API version:", json_get_str(server, "ApiVersion", ""));
    }
    for (size_t i = 0; i < json_array_size(components); i++)
        print_component(json_array_get(components, i));
}

/* --format: "json" or a template on the whole object. */
static int print_formatted(const char *format, const json_t *data, struct err *reterr)
{
    _cleanup_(template_freep) struct template *t =
        template_parse(streq(format, "json") ? "{{json .}}" : format, reterr);
    _cleanup_buf_ struct buf out = {0};
    int r;

    if (!t)
        return err_wrap(reterr, "template parsing error");
    r = template_exec(t, &(struct template_data){.root = data}, &out, reterr);
    if (r < 0)
        err_wrap(reterr, "template parsing error");
    buf_append_str(&out, "\n");
    fwrite(buf_head(&out), 1, buf_size(&out), stdout);
    return r;
}

int cmd_version(struct invocation *inv)
{
    const struct format_options *o = inv->options;
    _cleanup_json_ json_t *all = json_object(), *server = NULL;
    struct err e = {0}, why = {0};
    int r = client_get(inv->client, "/version", &server, &e), shown = 0;

    json_object_set_new(all, "Client", client_part(inv->client));
    json_object_set_new(all, "Server", r == 0 ? json_incref(server) : json_null());
    if (!str_empty(o->format)) {
        shown = print_formatted(o->format, all, &why);
    } else {
        print_client(json_get(all, "Client"));
        if (r == 0)
            print_server(server);
    }
    if (r == 0 && shown < 0)
        return cli_fail(inv, &why);
    return r < 0 ? cli_fail(inv, &e) : 0;
}

int cmd_info(struct invocation *inv)
{
    const struct format_options *o = inv->options;
    _cleanup_json_ json_t *info = NULL;
    struct err e = {0};
    int r = client_get(inv->client, "/info", &info, &e);

    if (!str_empty(o->format)) {
        if (r < 0)
            return cli_fail(inv, &e);
        json_object_set_new(info, "ClientInfo", client_part(inv->client));
        return print_formatted(o->format, info, &e) < 0 ? cli_fail(inv, &e) : 0;
    }
    printf("Client:\n Version:    %s\n Context:    default\n Debug Mode: false\n\nServer:\n",
           CTL_VERSION);
    if (r < 0)
        return cli_fail(inv, &e);
    info_print(info);
    return 0;
}
