#include <check.h>
#include <string.h>

#include "options.h"
#include "str.h"

struct fields {
    bool all, init;
    int64_t last;
    const char *name;
    char **env;
};

static const struct opt opts[] = {
    OPT_BOOL("all", 'a', struct fields, all, "Show all"),
    OPT_LIST("env", 'e', "list", struct fields, env, value_string, "Set variables"),
    OPT_BOOL("init", 'i', struct fields, init, "Init"),
    OPT_INT("last", 'n', struct fields, last, "Show n last created"),
    OPT_STRING("name", 0, struct fields, name, "A name"),
    OPT_JSON("memory", 'm', "bytes", value_bytes, "HostConfig.Memory", "Memory limit"),
    OPT_JSON_LIST("dns", 0, "list", value_string, "HostConfig.Dns", "Servers"),
    OPT_JSON_MAP("label", 'l', "map", value_key_value, "Labels", "Labels"),
    OPT_STRING("secret", 0, struct fields, name, NULL),
    OPT_END,
};
static const struct option_set set = {{opts}};

static struct fields f;
static struct parsed p;
static struct err e;

/* Parse words separated by blanks. */
static int parse(bool interspersed, const char *line)
{
    static char text[256];
    static char *argv[32];
    int argc = 0;

    options_free(&set, &f);
    parsed_done(&p);
    memset(&f, 0, sizeof(f));
    memset(&e, 0, sizeof(e));
    p.fields = &f;
    snprintf(text, sizeof(text), "%s", line);
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    return options_parse(&set, interspersed, argc, argv, &p, &e);
}

START_TEST(forms_of_values)
{
    ck_assert_int_eq(parse(true, "-a --name=x -n5 -e A=1 -eB=2 --env C=3 x"), 0);
    ck_assert(f.all && !f.init);
    ck_assert_str_eq(f.name, "x");
    ck_assert_int_eq(f.last, 5);
    ck_assert_uint_eq(strv_len(f.env), 3);
    ck_assert_str_eq(f.env[1], "B=2");
    ck_assert_int_eq(p.n_args, 1);
    ck_assert_int_eq(parse(true, "-ain 7 -n=8"), 0);
    ck_assert(f.all && f.init);
    ck_assert_int_eq(f.last, 8);
    ck_assert_int_eq(parse(true, "--all=false -i=true"), 0);
    ck_assert(!f.all && f.init);
    parse(true, "");
}
END_TEST

START_TEST(where_options_end)
{
    ck_assert_int_eq(parse(false, "-a image -i --name y"), 0);
    ck_assert(f.all && !f.init);
    ck_assert_int_eq(p.n_args, 4);
    ck_assert_str_eq(p.args[1], "-i");
    ck_assert_int_eq(parse(true, "x -a -- -i"), 0);
    ck_assert(f.all && !f.init);
    ck_assert_int_eq(p.n_args, 2);
    ck_assert_str_eq(p.args[1], "-i");
    ck_assert_int_eq(parse(true, "- -a"), 0);
    ck_assert_str_eq(p.args[0], "-");
    parse(true, "");
}
END_TEST

START_TEST(into_the_body)
{
    ck_assert_int_eq(parse(true, "-m 2m -m 1k --dns a --dns b -l x=1 -l y -l x=2"), 0);
    ck_assert_int_eq(json_integer_value(json_at(p.body, "HostConfig.Memory")), 1024);
    ck_assert_uint_eq(json_array_size(json_at(p.body, "HostConfig.Dns")), 2);
    ck_assert_str_eq(json_string_value(json_at(p.body, "Labels.x")), "2");
    ck_assert_str_eq(json_string_value(json_at(p.body, "Labels.y")), "");
    ck_assert_ptr_null(json_at(p.body, "HostConfig.Nothing.Deeper"));
    parse(true, "");
}
END_TEST

START_TEST(nothing_but_utf8)
{
    ck_assert_int_lt(parse(true, "--label a=\xff"), 0);
    ck_assert_ptr_nonnull(strstr(e.message, "invalid UTF-8"));
    ck_assert_int_lt(parse(true, "--name \xc3("), 0);
    ck_assert_int_eq(parse(true, "--label a=\xc3\xa4"), 0);
    parse(true, "");
}
END_TEST

START_TEST(errors)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"--foo", "unknown flag: --foo"},
        {"--foo=1", "unknown flag: --foo"},
        {"-aZ", "unknown shorthand flag: 'Z' in -aZ"},
        {"--name", "flag needs an argument: --name"},
        {"-an", "flag needs an argument: 'n' in -an"},
        {"-n x", "invalid argument \"x\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": "
                 "invalid syntax"},
        {"--all=maybe", "invalid argument \"maybe\" for \"-a, --all\" flag: strconv.ParseBool: "
                        "parsing \"maybe\": invalid syntax"},
        {"-m abc", "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'"},
        {"--=x", "bad flag syntax: --=x"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ck_assert_int_lt(parse(true, cases[i].line), 0);
        ck_assert_str_eq(e.message, cases[i].message);
    }
    parse(true, "");
}
END_TEST

START_TEST(help)
{
    struct buf out = {0};
    char *text;

    ck_assert_int_eq(parse(true, "--help --nonsense"), 0);
    ck_assert(p.help);
    ck_assert_int_eq(parse(true, "-h"), 0);
    ck_assert(p.help);
    options_help(&set, 79, &out);
    text = buf_take_str(&out);
    ck_assert_ptr_nonnull(strstr(text, "\nOptions:\n  -a, --all            Show all\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n      --name string    A name\n"));
    ck_assert_ptr_null(strstr(text, "secret"));
    free(text);
    parse(true, "");
}
END_TEST

START_TEST(help_wraps_like_pflag)
{
    static const struct opt one[] = {
        {.name = "latest",
         .letter = 'l',
         .parse = value_bool,
         .help = "Show the latest created container (includes all states)"},
        {.name = "format", .type = "string", .parse = value_string, .help = "First line:\n'a': x"},
        OPT_END};
    static const struct option_set only = {{one}};
    struct buf out = {0};
    char *text;

    options_help(&only, 79, &out);
    text = buf_take_str(&out);
    ck_assert_str_eq(text,
                     "\nOptions:\n"
                     "      --format string   First line:\n"
                     "                        'a': x\n"
                     "  -l, --latest          Show the latest created container (includes all\n"
                     "                        states)\n");
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_options");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, forms_of_values);
    tcase_add_test(tc, where_options_end);
    tcase_add_test(tc, into_the_body);
    tcase_add_test(tc, nothing_but_utf8);
    tcase_add_test(tc, errors);
    tcase_add_test(tc, help);
    tcase_add_test(tc, help_wraps_like_pflag);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
