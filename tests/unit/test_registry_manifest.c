#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "json.h"
#include "registry_manifest.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define CONFIG                                                                                     \
    "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D1      \
    "\",\"size\":7}"
#define LAYER(type) "{\"mediaType\":\"" type "\",\"digest\":\"" D2 "\",\"size\":9}"
#define GZIP "application/vnd.oci.image.layer.v1.tar+gzip"

static int parse(const char *text, const char *type, struct registry_manifest *ret, struct err *e)
{
    return registry_manifest_parse(text, strlen(text), type, ret, e);
}

START_TEST(test_image)
{
    struct registry_manifest m;
    struct err e = {0};

    ck_assert_int_eq(parse("{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER(GZIP) "]}",
                           MEDIA_OCI_MANIFEST "; charset=utf-8", &m, &e),
                     0);
    ck_assert_ptr_null(m.index);
    ck_assert_str_eq(m.media_type, MEDIA_OCI_MANIFEST);
    ck_assert_uint_eq(m.n_layers, 1);
    ck_assert_str_eq(m.layers[0].digest, &D2[7]);
    ck_assert_int_eq(m.layers[0].size, 9);
    ck_assert_str_eq(m.config.digest, &D1[7]);
    registry_manifest_done(&m);
}
END_TEST

START_TEST(test_refused)
{
    static const struct {
        const char *text, *type, *message;
    } cases[] = {
        {"", NULL, "no JSON object"},
        {"[]", NULL, "no JSON object"},
        {"{}", NULL, "neither"},
        {"{\"manifests\":[]," CONFIG "}", NULL, "both"},
        {"{\"mediaType\":\"" MEDIA_OCI_INDEX "\"," CONFIG ",\"layers\":[]}", MEDIA_OCI_MANIFEST,
         "served as"},
        {"{\"schemaVersion\":1}", NULL, "schema 1"},
        {"{" CONFIG "}", MEDIA_OCI_MANIFEST, "no list of layers"},
        {"{\"layers\":[]}", MEDIA_OCI_MANIFEST, "without sha256 digest"},
        {"{" CONFIG ",\"layers\":[{}]}", NULL, "without sha256 digest"},
        {"{" CONFIG ",\"layers\":[{\"digest\":\"" D2 "\",\"size\":-1}]}", NULL, "proper size"},
        {"{" CONFIG ",\"layers\":[{\"digest\":\"" D2 "\",\"size\":\"9\"}]}", NULL, "proper size"},
        {"{" CONFIG ",\"layers\":[" LAYER("application/x") "]}", NULL, "not supported"},
        {"{" CONFIG
         ",\"layers\":[" LAYER("application/vnd.oci.image.layer.nondistributable.v1.tar") "]}",
         NULL, "foreign layer"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct registry_manifest m;
        struct err e = {0};

        ck_assert_msg(parse(cases[i].text, cases[i].type, &m, &e) < 0, "%s", cases[i].text);
        ck_assert_int_eq(e.kind, ERR_INVALID);
        ck_assert_msg(strstr(e.message, cases[i].message), "%s: %s", cases[i].text, e.message);
    }
}
END_TEST

#define ENTRY(digit, platform)                                                                     \
    "{\"digest\":\"sha256:" digit digit digit digit digit digit digit digit                        \
    "\",\"size\":5,\"platform\":{\"os\":\"linux\"," platform "}}"

START_TEST(test_choice)
{
    static const char
        index[] =
            "{\"manifests\":[" ENTRY(
                "aaaaaaaa",
                "\"architecture\":\"amd64\"") "," ENTRY("bbbbbbbb",
                                                        "\"architecture\":\"arm\",\"variant\":"
                                                        "\"v6\"") "," ENTRY("cccccccc",
                                                                            "\"architecture\":"
                                                                            "\"arm\",\"variant\":"
                                                                            "\"v7\"") "," ENTRY("dd"
                                                                                                "dd"
                                                                                                "dd"
                                                                                                "d"
                                                                                                "d",
                                                                                                "\""
                                                                                                "ar"
                                                                                                "ch"
                                                                                                "it"
                                                                                                "ec"
                                                                                                "tu"
                                                                                                "re"
                                                                                                "\""
                                                                                                ":"
                                                                                                "\""
                                                                                                "ar"
                                                                                                "m6"
                                                                                                "4"
                                                                                                "\""
                                                                                                ","
                                                                                                "\""
                                                                                                "va"
                                                                                                "ri"
                                                                                                "an"
                                                                                                "t"
                                                                                                "\""
                                                                                                ":"
                                                                                                "\""
                                                                                                "v8"
                                                                                                "\"") "]}";
    static const struct {
        const char *platform;
        char want; /* 0: none */
    } cases[] = {
        {"linux/amd64", 'a'},  {"amd64", 'a'},        {"linux/x86_64", 'a'}, {"linux/arm/v6", 'b'},
        {"linux/arm/v7", 'c'}, {"linux/arm/v8", 'c'}, {"linux/arm/v5", 0},   {"linux/arm64", 'd'},
        {"linux/s390x", 0},    {"windows/amd64", 0},
    };
    struct registry_manifest m;

    ck_assert_int_eq(parse(index, MEDIA_OCI_INDEX, &m, NULL), 0);
    ck_assert_ptr_nonnull(m.index);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct platform p;
        struct descriptor d;
        struct err e;
        int r;

        ck_assert_msg(platform_parse(cases[i].platform, &p, &e) == 0, "%s", cases[i].platform);
        r = registry_manifest_choose(&m, &p, &d, &e);
        ck_assert_msg(cases[i].want ? r == 0 && d.digest[0] == cases[i].want : r == -ENOENT,
                      "%s: %d", cases[i].platform, r);
    }
    registry_manifest_done(&m);
}
END_TEST

START_TEST(test_platforms)
{
    static const char *const bad[] = {"a/b/c/d",
                                      "/",
                                      "linux/",
                                      "/amd64",
                                      "linux//v7",
                                      "a b",
                                      "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                      "{",
                                      "{}",
                                      "{\"os\":\"linux\"}",
                                      "{\"os\":\"linux\",\"architecture\":7}",
                                      "{\"os\":\"{\",\"architecture\":\"amd64\"}"};
    struct platform p;
    struct err e;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_msg(platform_parse(bad[i], &p, &e) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(platform_parse(NULL, &p, &e), 0);
    ck_assert_str_eq(p.arch, platform_arch());
    ck_assert_int_eq(platform_parse("{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\","
                                    "\"os.version\":\"x\"}",
                                    &p, &e),
                     0);
    ck_assert_str_eq(p.arch, "arm");
    ck_assert_str_eq(p.variant, "v6");
}
END_TEST

START_TEST(test_platform_of_an_image)
{
    _cleanup_json_ json_t *arm = json_pack("{s:s}", "architecture", "arm64");
    _cleanup_json_ json_t *odd = json_pack("{s:s,s:s}", "os", "lin\x1b[0mux", "architecture", "a");
    struct platform p;
    struct err e;

    ck_assert_int_eq(platform_parse("linux/amd64", &p, &e), 0);
    ck_assert_int_eq(platform_check(NULL, arm, "app:v1", &e), 0);
    ck_assert_int_eq(platform_check(&p, arm, "app:v1", &e), -ENOENT);
    ck_assert_str_eq(e.message,
                     "image with reference app:v1 was found but its platform (linux/arm64) does "
                     "not match the specified platform (linux/amd64)");
    ck_assert_int_eq(platform_check(NULL, odd, "app:v1", &e), -EINVAL);
    ck_assert_str_eq(e.message,
                     "image operating system \"lin?[0mux\" cannot be used on this platform");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("registry_manifest");
    TCase *t = tcase_create("registry_manifest");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, test_image);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_choice);
    tcase_add_test(t, test_platforms);
    tcase_add_test(t, test_platform_of_an_image);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
