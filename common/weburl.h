/* URLs of http and https as they may be told to people and kept in logs. */
#pragma once

/* Without what may be secret: user, password, query and fragment.  A user name alone may be a
 * token. Caller frees. */
char *weburl_show(const char *url);

/* Any text, with the user and password taken out of each URL in it ("scheme://user:password@host").
 * Caller frees. */
char *weburl_redact(const char *text);
