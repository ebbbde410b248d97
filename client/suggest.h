/* What somebody may have meant who mistyped a command. */
#pragma once

#include "buf.h"

/* "\n\nDid you mean this?\n\tNAME..." for the commands (of the group, unless NULL) that differ from
 * `word` by a letter or two or begin with it; nothing where there is none. */
void suggest_commands(const char *group, const char *word, struct buf *out);
