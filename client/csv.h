/* Lists inside one option value. */
#pragma once

/* The fields of one line of comma-separated values, "quoted" ones with commas inside; a string
 * vector for the caller to strv_free(), NULL if a quote is not closed. */
char **csv_split(const char *line);
/* The parts of s between separators; strv_free(). */
char **split_at(const char *s, char separator);
