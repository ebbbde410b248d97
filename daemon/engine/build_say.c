/* What a build tells its client.  Stages run side by side, but are told of one after the other: of
 * one that is not at the front what it says is kept, and its command waits when that is enough. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "build_impl.h"

#define HELD_MAX (256 << 10) /* bytes of a stage's output that are kept for later */

void build_output(struct build *b, json_t *obj)
{
    if (b->cancelled || b->ended)
        json_decref(obj);
    else
        b->full = !b->cb.output(b->cb.arg, obj);
}

void engine_build_resume(struct build *b)
{
    b->full = false;
    for (size_t i = 0; b->runs && i < b->stages.n; i++) {
        if (b->runs[i].exec && !stage_is_full(&b->runs[i]))
            build_exec_resume(&b->runs[i]);
    }
}

static json_t *line_of(const struct build *b, const char *fmt, va_list ap)
{
    _cleanup_free_ char *text = NULL, *clean = NULL;

    if (b->cancelled || build_option(b, "quiet") || vasprintf(&text, fmt, ap) < 0)
        return NULL;
    clean = str_to_utf8(text);
    return json_pack("{s:s}", "stream", clean);
}

void build_say(struct build *b, const char *fmt, ...)
{
    json_t *line;
    va_list ap;

    va_start(ap, fmt);
    line = line_of(b, fmt, ap);
    va_end(ap);
    if (line)
        build_output(b, line);
}

/* ---- of one stage ---- */

static bool is_shown(const struct stage_run *s)
{
    return s->index == s->build->front;
}

bool stage_is_full(const struct stage_run *s)
{
    return is_shown(s) ? s->build->full : s->held_size > HELD_MAX;
}

void stage_output(struct stage_run *s, json_t *obj)
{
    const json_t *text = json_get(obj, "stream");

    if (is_shown(s)) {
        build_output(s->build, obj);
    } else if (!text && s->held_size > HELD_MAX) {
        json_decref(obj); /* progress of a pull */
    } else {
        s->held_size += 128 + json_string_length(text);
        json_array_append_new(s->held, obj);
    }
}

void stage_say(struct stage_run *s, const char *fmt, ...)
{
    json_t *line;
    va_list ap;

    va_start(ap, fmt);
    line = line_of(s->build, fmt, ap);
    va_end(ap);
    if (line)
        stage_output(s, line);
}

void stage_say_bytes(struct stage_run *s, const char *before, const char *data, size_t len,
                     const char *after)
{
    _cleanup_buf_ struct buf out = {0};

    if (s->build->cancelled || build_option(s->build, "quiet"))
        return;
    buf_append_str(&out, before);
    for (const char *p = data, *end = data + len; p < end; p++) { /* NUL bytes are characters too */
        const char *nul = memchr(p, 0, (size_t)(end - p));
        _cleanup_free_ char *text = xstrndup(p, (size_t)((nul ? nul : end) - p));
        _cleanup_free_ char *clean = str_to_utf8(text);

        buf_append_str(&out, clean);
        if (!nul)
            break;
        buf_append(&out, "", 1);
        p = nul;
    }
    buf_append_str(&out, after);
    stage_output(s, json_pack("{s:o}", "stream", json_stringn(buf_head(&out), buf_size(&out))));
}

void stage_show(struct stage_run *s)
{
    json_t *item;
    size_t i;

    json_array_foreach (s->held, i, item)
        build_output(s->build, json_incref(item));
    json_array_clear(s->held);
    s->held_size = 0;
}
