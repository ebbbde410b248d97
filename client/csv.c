#include "csv.h"

#include <string.h>

#include "buf.h"
#include "str.h"

char **csv_split(const char *line)
{
    char **out = NULL;

    for (;;) {
        _cleanup_free_ char *field = NULL;
        struct buf b = {0};
        bool quoted = *line == '"';

        line += quoted;
        for (; *line && (quoted || *line != ','); line++) {
            if (quoted && line[0] == '"') {
                if (line[1] != '"')
                    break;
                line++;
            }
            buf_append(&b, line, 1);
        }
        field = buf_take_str(&b);
        if (quoted && *line++ != '"') {
            strv_free(out);
            return NULL;
        }
        out = strv_append(out, field);
        if (*line != ',')
            return out;
        line++;
    }
}

char **split_at(const char *s, char separator)
{
    char **out = NULL;
    char stop[2] = {separator, '\0'};

    for (;;) {
        size_t n = strcspn(s, stop);
        _cleanup_free_ char *part = xstrndup(s, n);

        out = strv_append(out, part);
        if (!s[n])
            return out;
        s += n + 1;
    }
}
