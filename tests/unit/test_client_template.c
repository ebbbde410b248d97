#include <check.h>
#include <jansson.h>
#include <string.h>

#include "mem.h"
#include "str.h"
#include "template.h"

static const char data[] =
    "{\"Id\":\"abc\",\"N\":3,\"Big\":10,\"T\":true,\"F\":false,\"Null\":null,\"S\":\"a b\","
    "\"List\":[\"x\",\"y\",\"z\"],\"Empty\":[],\"Map\":{\"b\":\"2\",\"a\":\"1\"},"
    "\"Real\":0.1,\"State\":{\"Status\":\"running\",\"Running\":true,\"Pid\":7,\"StartedAt\":"
    "\"2024\","
    "\"FinishedAt\":\"0001\"},\"HostConfig\":{\"Ulimits\":[{\"Name\":\"nofile\",\"Hard\":20,"
    "\"Soft\":10}],\"RestartPolicy\":{\"Name\":\"no\"},\"LogConfig\":{"
    "\"Type\":\"json-file\",\"Config\":{\"a\":\"b\"}}},\"NetworkSettings\":{\"Ports\":{\"80/tcp\":["
    "{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"},{\"HostIp\":\"::\",\"HostPort\":\"8080\"}],"
    "\"81/udp\":null}},\"Mounts\":[{\"Type\":\"volume\",\"Name\":\"v\",\"Source\":\"/s\","
    "\"Destination\":\"/d\",\"Driver\":\"local\",\"RW\":true}],\"IPAM\":{\"Driver\":\"default\","
    "\"Options\":null,\"Config\":[{\"Subnet\":\"10.0.0.0/8\",\"Gateway\":\"10.0.0.1\"}]},"
    "\"Config\":{\"Volumes\":{\"/v\":{}},\"ExposedPorts\":{\"80/tcp\":{}},\"Labels\":null,"
    "\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"],\"Interval\":90000000000,"
    "\"StartPeriod\":500000000,\"Retries\":3}},"
    "\"Net\":{\"my-net\":{\"IP\":\"1.2.3.4\"}},\"Items\":[{\"V\":1},{\"V\":2}]}";

/* What the template yields, or its error; the caller frees. */
static char *run(const char *text)
{
    json_t *root = json_loads(data, 0, NULL);
    struct err e = {0};
    struct template *t = template_parse(text, &e);
    struct buf out = {0};
    char *s;

    ck_assert_ptr_nonnull(root);
    if (!t || template_exec(t, &(struct template_data){.root = root}, &out, &e) < 0) {
        buf_done(&out);
        s = xstrdup(e.message);
    } else {
        s = buf_take_str(&out);
    }
    template_free(t);
    json_decref(root);
    return s;
}

static void expect(const char *text, const char *want)
{
    char *got = run(text);

    ck_assert_msg(streq(got, want), "%s\n  gives: %s\n  wants: %s", text, got, want);
    free(got);
}

START_TEST(fields_and_values)
{
    expect("{{.Id}}", "abc");
    expect("{{.id}}", "abc");
    expect("<{{.N}}|{{.T}}|{{.F}}>", "<3|true|false>");
    expect("{{.List}}", "[x y z]");
    expect("{{.Map}}", "map[a:1 b:2]");
    expect("{{.Map.a}}", "1");
    expect("{{$.Id}}", "abc");
    expect("{{\"lit\\t\\\"\"}}{{`raw\\t`}}{{7}}{{true}}", "lit\t\"raw\\t7true");
    expect("{{.Null}}", "[]");
}
END_TEST

START_TEST(missing_members)
{
    expect("{{.Foo}}",
           "template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\"");
    expect("{{.Map.Foo}}",
           "template: :1:6: executing \"\" at <.Map.Foo>: map has no entry for key \"Foo\"");
    expect("{{.Health}}", "<nil>");
    expect("{{.Health.Status}}", "template: :1:9: executing \"\" at <.Health.Status>: map has no "
                                 "entry for key \"Health\"");
    expect("{{.Id.Foo}}",
           "template: :1:5: executing \"\" at <.Id.Foo>: can't evaluate field Foo in "
           "type interface {}");
}
END_TEST

/* As Go's fmt has them; source: text/template and fmt of Go, types of github.com/docker/docker. */
START_TEST(structs)
{
    expect("{{.State}}", "{running true false false false false 7 0  2024 0001 <nil>}");
    expect("{{.HostConfig.RestartPolicy}}", "{no 0}");
    expect("{{.HostConfig.LogConfig}}", "{json-file map[a:b]}");
    expect("{{.HostConfig.LogConfig.Config}}", "map[a:b]");
    expect("{{.NetworkSettings.Ports}}", "map[80/tcp:[{0.0.0.0 8080} {:: 8080}] 81/udp:[]]");
    expect("{{range $k, $v := .NetworkSettings.Ports}}{{$k}}={{$v}} {{end}}",
           "80/tcp=[{0.0.0.0 8080} {:: 8080}] 81/udp=[] ");
    expect("{{index .NetworkSettings.Ports \"80/tcp\" 1}}", "{:: 8080}");
    expect("{{index .Mounts 0}}{{range .Mounts}}{{.}}{{end}}",
           "{volume v /s /d local  true }{volume v /s /d local  true }");
    expect("{{.IPAM}}{{.IPAM.Config}}",
           "{default map[] [{10.0.0.0/8  10.0.0.1 map[]}]}[{10.0.0.0/8  10.0.0.1 map[]}]");
    expect("{{.Config.Volumes}}{{.Config.ExposedPorts}}", "map[/v:{}]map[80/tcp:{}]");
    expect("{{.Config.Healthcheck}}", "{[CMD true] 1m30s 0s 500ms 0s 3}");
    expect("{{.Config.Healthcheck.Interval}} {{json .Config.Healthcheck.Interval}}",
           "1m30s 90000000000");
    expect("{{.Real}} {{.Config.Labels}}", "0.1 map[]");
    expect("{{.Config.Healthcheck.Test}}{{.State.Error}}{{.State.Paused}}{{.State.ExitCode}}"
           "{{.HostConfig.RestartPolicy.MaximumRetryCount}}{{.Config.Healthcheck.Timeout}}",
           "[CMD true]false000s");
    expect("{{.HostConfig.Ulimits}}", "[nofile=10:20]");
    expect("{{if .Config.Volumes}}y{{end}}{{with .State}}{{.Pid}}{{end}}", "y7");
}
END_TEST

START_TEST(templates)
{
    expect("{{define \"x\"}}<{{.}}>{{end}}{{template \"x\" .Id}}{{template `x` 7}}", "<abc><7>");
    expect("{{template \"x\" .}}{{define \"x\"}}{{.N}}{{$.N}}{{end}}", "33");
    expect("{{block \"b\" .List}}{{len .}}{{end}}{{template \"b\" .Map}}", "32");
    expect("{{define \"n\"}}{{with .}}{{.}}{{template \"n\"}}{{else}}.{{end}}{{end}}"
           "{{template \"n\" 1}}",
           "1.");
    expect("{{range .List}}{{template \"y\" .}}{{end}}{{define \"y\"}}{{range $i, $c := .}}"
           "{{end}}{{end}}",
           "template: :1:62: executing \"\" at <>: range can't iterate over it");
    expect("{{define \"x\"}}{{template \"x\" .}}{{end}}{{template \"x\" .}}",
           "template: :1:24: executing \"\" at <x>: exceeded maximum template depth");
    expect("{{$a := 1}}{{template \"x\"}}{{define \"x\"}}{{$a}}{{end}}",
           "template: :1: undefined variable \"$a\"");
    expect("{{template \"nope\"}}",
           "template: :1:10: executing \"\" at <nope>: template not defined");
    expect("{{define \"x\"}}{{end}}{{define \"x\"}}{{end}}",
           "template: :1: multiple definition of template x");
    expect("{{if 1}}{{define \"x\"}}{{end}}{{end}}", "template: :1: unexpected {{define}}");
    expect("{{define \"x\"}}", "template: :1: unexpected EOF");
    expect("{{block \"x\"}}{{end}}", "template: :1: missing value for block clause");
    expect("{{range .List}}{{block \"x\" .}}{{break}}{{end}}{{end}}",
           "template: :1: {{break}} outside {{range}}");
}
END_TEST

START_TEST(control)
{
    expect("{{if .T}}yes{{else}}no{{end}}", "yes");
    expect("{{if .Empty}}yes{{else}}no{{end}}", "no");
    expect("{{if .F}}1{{else if .N}}2{{else}}3{{end}}", "2");
    expect("{{range .List}}{{.}},{{end}}", "x,y,z,");
    expect("{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}", "0=x 1=y 2=z ");
    expect("{{range $k, $v := .Map}}{{$k}}{{$v}}{{end}}", "a1b2");
    expect("{{range .Empty}}x{{else}}none{{end}}", "none");
    expect("{{range .Items}}{{.V}}{{$.Id}}{{end}}", "1abc2abc");
    expect("{{with .Map}}{{.a}}{{end}}{{with .Empty}}x{{else}}y{{end}}", "1y");
    expect("{{$x := .N}}{{if .T}}{{$x = .Big}}{{end}}{{$x}}", "10");
    expect("{{range .List}}{{if eq . \"y\"}}{{break}}{{end}}{{.}}{{end}}!", "x!");
    expect("{{range .List}}{{if eq . \"y\"}}{{continue}}{{end}}{{.}}{{end}}!", "xz!");
    expect("{{range $k, $v := .Map}}{{$k}}{{with $v}}{{break}}{{end}}x{{end}}!", "a!");
    expect("{{range .List}}{{.}}{{range $.List}}{{break}}{{end}},{{end}}", "x,y,z,");
    expect("{{range .List}}{{range $.Empty}}{{else}}{{break}}{{end}}{{.}}{{end}}!", "!");
    expect("{{html \"<a & 'b'>\"}} {{urlquery \"a b/ü\"}}",
           "&lt;a &amp; &#39;b&#39;&gt; a+b%2F%C3%BC");
}
END_TEST

START_TEST(functions)
{
    expect("{{json .Map}}", "{\"b\":\"2\",\"a\":\"1\"}");
    expect("{{json .Null}}{{json .Id}}", "null\"abc\"");
    expect("{{index .List 1}}{{index .Map \"b\"}}", "y2");
    expect("{{(index .Net \"my-net\").IP}}", "1.2.3.4");
    expect("{{len .List}}{{len .Id}}{{len .Map}}", "332");
    expect("{{join .List \"-\"}}", "x-y-z");
    expect("{{upper .Id}}{{.Id | upper | lower}}{{title .S}}", "ABCabcA B");
    expect("{{range split .S \" \"}}[{{.}}]{{end}}", "[a][b]");
    expect("{{printf \"%s-%05d-%-4s|%q|%v|%%\" .Id .N \"x\" .Id .T}}",
           "abc-00003-x   |\"abc\"|true|%");
    expect("{{printf \"%d %5\" 1}}", "1 %!(NOVERB)");
    expect("{{printf \"%s %s\" .Id}}", "abc %!s(MISSING)");
    expect("{{println .Id .N}}", "abc 3\n");
    expect("{{truncate .Id 2}}{{pad .Id 1 2}}", "ab abc  ");
    expect("{{slice .Id 1 2}}", "b");
    expect("{{and .T .Id}}{{or .F .N}}{{not .T}}", "abc3false");
    expect("{{eq .N 3}}{{ne .Id \"abc\"}}{{lt .N .Big}}{{ge .N 3}}{{eq .N 1 2 3}}",
           "truefalsetruetruetrue");
}
END_TEST

START_TEST(white_space_and_comments)
{
    expect("a {{- .N -}} b", "a3b");
    expect("a {{/* no */}}b {{- /* trims */ -}} c", "a bc");
    expect("{{- .N}} -1{{-1}}", "3 -1-1");
}
END_TEST

START_TEST(parse_errors)
{
    expect("{{.ID", "template: :1: unclosed action");
    expect("{{if}}", "template: :1: missing value for if");
    expect("{{end}}", "template: :1: unexpected {{end}}");
    expect("{{range .List}}", "template: :1: unexpected EOF");
    expect("{{nofunc .}}", "template: :1: function \"nofunc\" not defined");
    expect("{{\"open}}", "template: :1: unterminated quoted string");
    expect("{{(.N}}", "template: :1: unclosed left paren");
    expect("{{}}", "template: :1: missing value for command");
    expect("{{break}}", "template: :1: {{break}} outside {{range}}");
    expect("{{range .List}}{{else}}{{continue}}{{end}}",
           "template: :1: {{continue}} outside {{range}}");
}
END_TEST

START_TEST(nesting_is_bounded)
{
    struct buf b = {0};
    char *text, *got;

    for (int i = 0; i < 5000; i++)
        buf_append_str(&b, "{{if .T}}");
    text = buf_take_str(&b);
    got = run(text);
    ck_assert_str_eq(got, "template: :1: nested too deeply");
    free(got);
    free(text);
    for (int i = 0; i < 5000; i++)
        buf_append_str(&b, i ? "(" : "{{");
    text = buf_take_str(&b);
    got = run(text);
    ck_assert_str_eq(got, "template: :1: nested too deeply");
    free(got);
    free(text);
}
END_TEST

START_TEST(uses)
{
    struct err e;
    struct template *t = template_parse("{{.ID}} {{if .Size}}x{{end}}", &e);

    ck_assert(template_uses(t, "Size"));
    ck_assert(!template_uses(t, "Names"));
    template_free(t);
    t = template_parse("{{json .}}", &e);
    ck_assert(template_uses(t, "Names"));
    template_free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_template");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, fields_and_values);
    tcase_add_test(tc, missing_members);
    tcase_add_test(tc, structs);
    tcase_add_test(tc, templates);
    tcase_add_test(tc, control);
    tcase_add_test(tc, functions);
    tcase_add_test(tc, white_space_and_comments);
    tcase_add_test(tc, parse_errors);
    tcase_add_test(tc, nesting_is_bounded);
    tcase_add_test(tc, uses);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
