#include "changes.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "digest.h"
#include "json.h"

static const struct {
    const char *line, *config; /* NULL: refused */
} cases[] = {
    {"CMD echo hi", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo hi\"]}"},
    {"cmd [\"a\", \"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}"},
    {"CMD [1]", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[1]\"]}"},
    {"  ENTRYPOINT [\"/x\"]  ", "{\"Entrypoint\":[\"/x\"]}"},
    {"ENV a=b c=\"d e\" f='g h' i=j\\ k", "{\"Env\":[\"a=b\",\"c=d e\",\"f=g h\",\"i=j k\"]}"},
    {"ENV name all the rest", "{\"Env\":[\"name=all the rest\"]}"},
    {"ENV a=1 a=2", "{\"Env\":[\"a=2\"]}"},
    {"LABEL a=b \"c d\"=e", "{\"Labels\":{\"a\":\"b\",\"c d\":\"e\"}}"},
    {"EXPOSE 80 53/udp 1/TCP", "{\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"1/tcp\":{}}}"},
    {"VOLUME /a \"/b c\"", "{\"Volumes\":{\"/a\":{},\"/b c\":{}}}"},
    {"VOLUME [\"/a\"]", "{\"Volumes\":{\"/a\":{}}}"},
    {"USER 1000:33", "{\"User\":\"1000:33\"}"},
    {"WORKDIR sub", "{\"WorkingDir\":\"/sub\"}"},
    {"WORKDIR /abs", "{\"WorkingDir\":\"/abs\"}"},
    {"STOPSIGNAL SIGINT", "{\"StopSignal\":\"SIGINT\"}"},
    {"ONBUILD RUN x", "{\"OnBuild\":[\"RUN x\"]}"},
    {"HEALTHCHECK NONE", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}"},
    {"HEALTHCHECK --interval=1m30s --retries=3 CMD curl x",
     "{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"curl x\"],\"Interval\":90000000000,"
     "\"Retries\":3}}"},
    {"HEALTHCHECK CMD [\"a\"]", "{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"]}}"},
    {"", NULL},
    {"RUN x", NULL},
    {"CMD", NULL},
    {"EXPOSE 90-92 8-8/udp",
     "{\"ExposedPorts\":{\"90/tcp\":{},\"91/tcp\":{},\"92/tcp\":{},\"8/udp\":{}}}"},
    {"EXPOSE 0", NULL},
    {"EXPOSE 92-90", NULL},
    {"EXPOSE 90-", NULL},
    {"EXPOSE -90", NULL},
    {"EXPOSE 1-2-3", NULL},
    {"EXPOSE 0-3", NULL},
    {"EXPOSE 65535-65536", NULL},
    {"EXPOSE 1-65535/tcp 1/udp", NULL},
    {"EXPOSE 70000", NULL},
    {"EXPOSE 80/icmp", NULL},
    {"ENV =x", NULL},
    {"ENV a=b c", NULL},
    {"ENV a=\"b", NULL},
    {"VOLUME \"x", NULL},
    {"HEALTHCHECK CMD", NULL},
    {"HEALTHCHECK --interval=x CMD a", NULL},
    {"HEALTHCHECK --nope=1 CMD a", NULL},
    {"STOPSIGNAL a b", NULL},
};

START_TEST(test_changes)
{
    _cleanup_json_ json_t *config = json_object(), *wanted = NULL;
    struct err e = {0};
    int r = changes_apply(config, cases[_i].line, &e);

    if (!cases[_i].config) {
        ck_assert_int_lt(r, 0);
        ck_assert_int_eq(e.kind, ERR_INVALID);
        return;
    }
    wanted = json_loads(cases[_i].config, 0, NULL);
    ck_assert_ptr_nonnull(wanted);
    ck_assert_int_eq(r, 0);
    ck_assert_msg(json_equal(config, wanted), "%s gave %s", cases[_i].line, json_to_str(config));
}
END_TEST

START_TEST(test_workdir_is_relative_to_the_last)
{
    _cleanup_json_ json_t *config = json_object();

    ck_assert_int_eq(changes_apply(config, "WORKDIR /a", NULL), 0);
    ck_assert_int_eq(changes_apply(config, "WORKDIR b", NULL), 0);
    ck_assert_str_eq(json_get_str(config, "WorkingDir", ""), "/a/b");
}
END_TEST

/* Of the OCI specification's definition, computed with sha256sum. */
START_TEST(test_chain_id)
{
    char a[ID_LEN + 1], b[ID_LEN + 1], text[200], wanted[ID_LEN + 1];
    const char *diff = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    digest_sha256("", 0, a);
    ck_assert_str_eq(a, diff);
    digest_chain_id(NULL, diff, a);
    ck_assert_str_eq(a, diff);
    digest_chain_id(a, diff, b);
    snprintf(text, sizeof(text), "sha256:%s sha256:%s", diff, diff);
    digest_sha256(text, strlen(text), wanted);
    ck_assert_str_eq(b, wanted);
    ck_assert_str_eq(b, "de9d9016b852e46e9f3973e20d3a6d17e120f7144931d50cd6e2a8ad53e81960");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("changes");
    TCase *t = tcase_create("changes");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, test_changes, 0, (int)ARRAY_SIZE(cases));
    tcase_add_test(t, test_workdir_is_relative_to_the_last);
    tcase_add_test(t, test_chain_id);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
