/* --help texts, made from the command and option tables. */
#pragma once

#include <stdio.h>

#include "cli.h"

extern const struct option_set global_option_set;

void help_overview(FILE *f);
void help_command(const struct command *cmd, const char *path);
const char *help_group_name(size_t i); /* NULL after the last */
bool help_is_group(const char *word);
bool help_group(const char *word, FILE *f); /* false if there is no such group */
