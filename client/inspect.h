/* Showing objects as the daemon sent them. */
#pragma once

#include "buf.h"

/* Append JSON text with new white space: each level indented by `indent` blanks, the first by
 * `level` levels.  Values are not touched, so numbers and escapes stay as they were. */
void json_text_indent(const char *json, int indent, int level, struct buf *out);
