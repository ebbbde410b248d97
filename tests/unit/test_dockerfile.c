#include "dockerfile.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "expand.h"
#include "str.h"

/* ---- instructions ---- */

static void parse(const char *text, struct dockerfile *ret)
{
    struct err e = {0};
    int r = dockerfile_parse(text, strlen(text), ret, &e);

    ck_assert_msg(r == 0, "%s", e.message);
}

static const struct {
    const char *text, *keyword, *args, *original;
    unsigned line;
} singles[] = {
    {"FROM busybox\n", "FROM", "busybox", "FROM busybox", 1},
    {"from busybox", "FROM", "busybox", "from busybox", 1},
    {"\xef\xbb\xbf"
     "FROM a",
     "FROM", "a", "FROM a", 1},
    {"# comment\n\n  RUN a  \r\n", "RUN", "a", "RUN a", 3},
    {"RUN a \\\n  b \\  \n c\n", "RUN", "a   b  c", "RUN a   b  c", 1},
    {"RUN a \\\n# in between\n\n   # and more\n b", "RUN", "a  b", "RUN a  b", 1},
    {"RUN a \\\\\nRUN b", "RUN", "a \\\\", "RUN a \\\\", 1},
    {"RUN a \\", "RUN", "a", "RUN a", 1},
    {"# escape=`\nRUN a `\n b", "RUN", "a  b", "RUN a  b", 2},
    {"# escape=`\nCOPY a c:\\\nRUN b", "COPY", "a c:\\", "COPY a c:\\", 2},
    {"# syntax=docker/dockerfile:1\n# escape = `\nRUN a `\nb", "RUN", "a b", "RUN a b", 3},
    {"# nothing\n# escape=`\nRUN a \\\nb", "RUN", "a b", "RUN a b", 3},
    {"COPY --chown=1:2 --from=x a b", "COPY", "a b", "COPY --chown=1:2 --from=x a b", 1},
    {"COPY -- --a b", "COPY", "--a b", "COPY -- --a b", 1},
    {"CMD", "CMD", "", "CMD", 1},
    {"RUN cat <<EOF\na\nEOF\nRUN b", "RUN", "cat <<EOF", "RUN cat <<EOF", 1},
};

START_TEST(test_single)
{
    _cleanup_dockerfile_ struct dockerfile d = {0};

    parse(singles[_i].text, &d);
    ck_assert_uint_ge(d.n, 1);
    ck_assert_str_eq(d.list[0].keyword, singles[_i].keyword);
    ck_assert_str_eq(d.list[0].args, singles[_i].args);
    ck_assert_str_eq(d.list[0].original, singles[_i].original);
    ck_assert_uint_eq(d.list[0].line, singles[_i].line);
}
END_TEST

static const struct {
    const char *text, *message;
} refused[] = {
    {"", "the Dockerfile (Dockerfile) cannot be empty"},
    {"# only\n", "failed to parse Dockerfile: file with no instructions"},
    {"FROM a\nFRUM b", "dockerfile parse error line 2: unknown instruction: FRUM"},
    {"FROM a\nRUN\n", "dockerfile parse error line 2: RUN requires at least one argument"},
    {"# escape=x\nFROM a",
     "dockerfile parse error line 1: invalid escape token 'x' does not match ` or \\"},
    {"# escape=`\n# escape=`\nFROM a",
     "dockerfile parse error line 2: only one escape parser directive can be used"},
    {"FROM a\nRUN <<EOF\nx\n", "dockerfile parse error line 2: unterminated heredoc"},
};

START_TEST(test_refused)
{
    _cleanup_dockerfile_ struct dockerfile d = {0};
    struct err e = {0};

    ck_assert_int_lt(dockerfile_parse(refused[_i].text, strlen(refused[_i].text), &d, &e), 0);
    ck_assert_str_eq(e.message, refused[_i].message);
    ck_assert_int_eq(e.kind, ERR_INVALID);
}
END_TEST

START_TEST(test_limits)
{
    _cleanup_free_ char *big = xmalloc(DOCKERFILE_MAX + 1);
    _cleanup_dockerfile_ struct dockerfile d = {0};
    struct err e;

    memset(big, '\n', DOCKERFILE_MAX + 1);
    ck_assert_int_lt(dockerfile_parse(big, DOCKERFILE_MAX + 1, &d, &e), 0);
    ck_assert_int_lt(dockerfile_parse("FROM a\0b", 8, &d, &e), 0);
    memset(big, 'a', DOCKERFILE_MAX);
    memcpy(big, "RUN ", 4);
    ck_assert_int_lt(dockerfile_parse(big, DOCKERFILE_MAX, &d, &e), 0);
}
END_TEST

START_TEST(test_forms)
{
    static const char *const known[] = {"from", "chown", NULL}, *const fewer[] = {"from", NULL};
    _cleanup_dockerfile_ struct dockerfile d = {0};
    struct err e = {0};

    parse("RUN [\"a\", \"b c\"]\nRUN [1]\nRUN [\"a\"\nCOPY --from=x --chown=\"a b\" [\"a\",\"b\"]\n"
          "HEALTHCHECK --interval=1s CMD a --b\nRUN []\n",
          &d);
    ck_assert(d.list[0].is_json);
    ck_assert_uint_eq(strv_len(d.list[0].json), 2);
    ck_assert_str_eq(d.list[0].json[1], "b c");
    ck_assert(!d.list[1].is_json);
    ck_assert(!d.list[2].is_json);
    ck_assert(d.list[3].is_json);
    ck_assert_str_eq(instruction_flag(&d.list[3], "chown"), "a b");
    ck_assert_ptr_null(instruction_flag(&d.list[3], "cho"));
    ck_assert_int_eq(instruction_check_flags(&d.list[3], known, &e), 0);
    ck_assert_int_lt(instruction_check_flags(&d.list[3], fewer, &e), 0);
    ck_assert_str_eq(e.message, "dockerfile parse error line 4: unknown flag: chown");
    ck_assert_str_eq(d.list[4].args, "CMD a --b");
    ck_assert(d.list[5].is_json && !d.list[5].json);
}
END_TEST

START_TEST(test_heredocs)
{
    _cleanup_dockerfile_ struct dockerfile d = {0};

    parse("COPY <<a.txt <<-\"b\" /x/\none $x\na.txt\n\ttwo\n\tb\n"
          "RUN echo $((1<<2)) <<<x 'a <<b'\nRUN 3<<E cat\nE\n",
          &d);
    ck_assert_uint_eq(d.n, 3);
    ck_assert_uint_eq(d.list[0].n_heredocs, 2);
    ck_assert_str_eq(d.list[0].heredocs[0].name, "a.txt");
    ck_assert_str_eq(d.list[0].heredocs[0].content, "one $x\n");
    ck_assert(d.list[0].heredocs[0].expand);
    ck_assert_str_eq(d.list[0].heredocs[1].content, "two\n");
    ck_assert(!d.list[0].heredocs[1].expand);
    ck_assert_uint_eq(d.list[1].n_heredocs, 0);
    ck_assert_uint_eq(d.list[2].n_heredocs, 1);
    ck_assert_str_eq(d.list[2].heredocs[0].content, "");
}
END_TEST

/* ---- stages ---- */

START_TEST(test_stages)
{
    _cleanup_dockerfile_ struct dockerfile d = {0};
    struct build_stages s = {0};
    struct err e = {0};

    parse("ARG v=1\nFROM a:${v} AS One\nRUN x\nRUN y\nFROM --platform=linux/amd64 one\nFROM "
          "scratch as t-2",
          &d);
    ck_assert_int_eq(build_stages_find(&d, &s, &e), 0);
    ck_assert_uint_eq(s.n, 3);
    ck_assert_uint_eq(s.n_args, 1);
    ck_assert_str_eq(s.list[0].base, "a:${v}");
    ck_assert_str_eq(s.list[0].name, "one");
    ck_assert_uint_eq(s.list[0].n, 2);
    ck_assert_ptr_null(s.list[1].name);
    ck_assert_str_eq(s.list[1].platform, "linux/amd64");
    ck_assert_int_eq(build_stages_index(&s, 3, "ONE"), 0);
    ck_assert_int_eq(build_stages_index(&s, 3, "t-2"), 2);
    ck_assert_int_eq(build_stages_index(&s, 3, "1"), 1);
    ck_assert_int_eq(build_stages_index(&s, 1, "1"), -ENOENT);
    ck_assert_int_eq(build_stages_index(&s, 0, "0"), -ENOENT);
    ck_assert_int_eq(build_stages_index(&s, 2, "t-2"), -ENOENT);
    build_stages_done(&s);
}
END_TEST

static const char *const bad_stages[] = {"RUN x\nFROM a", "ARG a",        "FROM a b",
                                         "FROM a AS",     "FROM a AS 1x", "FROM a AS x/y",
                                         "FROM --x=y a"};

START_TEST(test_bad_stages)
{
    _cleanup_dockerfile_ struct dockerfile d = {0};
    struct build_stages s = {0};
    struct err e = {0};

    parse(bad_stages[_i], &d);
    ck_assert_int_lt(build_stages_find(&d, &s, &e), 0);
    ck_assert_int_eq(e.kind, ERR_INVALID);
}
END_TEST

/* ---- variables ---- */

static const char *lookup(void *arg, const char *name)
{
    (void)arg;
    return streq(name, "x") ? "value" : streq(name, "e") ? "" : streq(name, "s") ? "a b" : NULL;
}

static const struct {
    const char *word, *result; /* NULL: refused */
} words[] = {
    {"", ""},
    {"abc", "abc"},
    {"$x", "value"},
    {"${x}y", "valuey"},
    {"$xy", ""},
    {"a$", "a$"},
    {"$.", "$."},
    {"'$x'", "$x"},
    {"\"$x\"", "value"},
    {"\"a\\\"b\\$x\\\\\\n\"", "a\"b$x\\\\n"},
    {"\\$x", "$x"},
    {"a\\ b", "a b"},
    {"a\\", "a"},
    {"${x:-y}", "value"},
    {"${n:-y}", "y"},
    {"${e:-y}", "y"},
    {"${e-y}", ""},
    {"${n-y}", "y"},
    {"${x:+y}", "y"},
    {"${n:+y}", ""},
    {"${e:+y}", ""},
    {"${e+y}", "y"},
    {"${n:-${x}}z", "valuez"},
    {"${n:-\"a}b\"}", "a}b"},
    {"${n:-${n:-${n:-deep}}}", "deep"},
    {"${x:?no}", "value"},
    {"${n:?no}", NULL},
    {"${n:=y}", NULL},
    {"${x", NULL},
    {"${}", NULL},
    {"${n:-", NULL},
    {"'a", NULL},
    {"\"a", NULL},
    {"$1", ""},
};

START_TEST(test_expand)
{
    struct expander x = {.escape = '\\', .lookup = lookup};
    _cleanup_free_ char *out = NULL;
    struct err e = {0};
    int r = expand_word(&x, words[_i].word, &out, &e);

    if (words[_i].result) {
        ck_assert_msg(r == 0, "%s", e.message);
        ck_assert_str_eq(out, words[_i].result);
    } else {
        ck_assert_int_lt(r, 0);
        ck_assert_int_eq(e.kind, ERR_INVALID);
    }
}
END_TEST

START_TEST(test_text)
{
    struct expander x = {.escape = '\\', .lookup = lookup, .text = true};
    _cleanup_free_ char *out = NULL;
    struct err e;

    ck_assert_int_eq(expand_word(&x, "it's \"$x\"\n\\$x \\n ${n:-'y'}\n", &out, &e), 0);
    ck_assert_str_eq(out, "it's \"value\"\n$x \\n y\n");
}
END_TEST

START_TEST(test_left)
{
    size_t left = 12;
    struct expander x = {.escape = '\\', .lookup = lookup, .left = &left};
    _cleanup_free_ char *one = NULL, *two = NULL, *three = NULL;
    _cleanup_(strv_freep) char **v = NULL;
    struct err e = {0};

    ck_assert_int_eq(expand_word(&x, "$x", &one, &e), 0);
    ck_assert_uint_eq(left, 7);
    ck_assert_int_eq(expand_word(&x, "'$'\"x\"$x", &two, &e), 0);
    ck_assert_uint_eq(left, 0);
    ck_assert_int_lt(expand_word(&x, "a", &three, &e), 0);
    ck_assert_int_eq(e.kind, ERR_INVALID);
    ck_assert_int_lt(expand_words(&x, "$x", &v, &e), 0);
    ck_assert_ptr_null(v);
}
END_TEST

START_TEST(test_words)
{
    struct expander x = {.escape = '\\', .lookup = lookup};
    _cleanup_(strv_freep) char **v = NULL, **raw = NULL;
    struct err e;

    ck_assert_int_eq(expand_words(&x, " a $s \"$s\" '' b\\ c ", &v, &e), 0);
    ck_assert_uint_eq(strv_len(v), 6);
    ck_assert_str_eq(v[1], "a");
    ck_assert_str_eq(v[2], "b");
    ck_assert_str_eq(v[3], "a b");
    ck_assert_str_eq(v[4], "");
    ck_assert_str_eq(v[5], "b c");
    ck_assert_int_eq(words_split("a \"b c\" d\\ e", '\\', &raw, &e), 0);
    ck_assert_uint_eq(strv_len(raw), 3);
    ck_assert_str_eq(raw[1], "\"b c\"");
}
END_TEST

static const struct {
    const char *text, *joined; /* NULL: refused */
} pairs[] = {
    {"a=b", "a|b"},     {"a=b c=\"d e\"", "a|b|c|\"d e\""},
    {"a b c", "a|b c"}, {"a  $x", "a|$x"},
    {"a=", "a|"},       {"a=b=c", "a|b=c"},
    {"a", NULL},        {"a=b c", NULL},
    {"=b", NULL},
};

START_TEST(test_pairs)
{
    _cleanup_(strv_freep) char **v = NULL;
    char joined[256] = "";
    struct err e = {0};
    int r = words_pairs("ENV", pairs[_i].text, '\\', &v, &e);

    if (!pairs[_i].joined) {
        ck_assert_int_lt(r, 0);
        return;
    }
    ck_assert_msg(r == 0, "%s", e.message);
    for (size_t i = 0; v[i]; i++) {
        strcat(joined, i ? "|" : "");
        strcat(joined, v[i]);
    }
    ck_assert_str_eq(joined, pairs[_i].joined);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dockerfile");
    TCase *tc = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_loop_test(tc, test_single, 0, ARRAY_SIZE(singles));
    tcase_add_loop_test(tc, test_refused, 0, ARRAY_SIZE(refused));
    tcase_add_test(tc, test_limits);
    tcase_add_test(tc, test_forms);
    tcase_add_test(tc, test_heredocs);
    tcase_add_test(tc, test_stages);
    tcase_add_loop_test(tc, test_bad_stages, 0, ARRAY_SIZE(bad_stages));
    tcase_add_loop_test(tc, test_expand, 0, ARRAY_SIZE(words));
    tcase_add_test(tc, test_text);
    tcase_add_test(tc, test_left);
    tcase_add_test(tc, test_words);
    tcase_add_loop_test(tc, test_pairs, 0, ARRAY_SIZE(pairs));
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
