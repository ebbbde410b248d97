/* Request targets: paths and query strings with everything foreign escaped. */
#pragma once

/* "/containers/%s/json" with each %s escaped as path text ('/' and ':' stay, as image names have
 * them); the only conversion known is %s.  The caller frees. */
char *url_format(const char *fmt, ...);
/* Append ?key=value or &key=value; *url is replaced.  A NULL value adds nothing. */
void url_add(char **url, const char *key, const char *value);
/* An "os[/arch[/variant]]" as the API has it, a JSON object; a lone word is the architecture of a
 * Linux image.  NULL or "" adds nothing. */
void url_add_platform(char **url, const char *key, const char *platform);
void url_add_bool(char **url, const char *key, int on); /* key=1 if on */
