#include "tarout.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fd.h"
#include "report.h"

#define BLOCK (64 * 1024)

int tarout_init(struct tarout *t, struct err *reterr)
{
    t->tar = archive_write_new();
    if (!t->tar || archive_write_set_format_pax_restricted(t->tar) != ARCHIVE_OK)
        return err_sys(reterr, ENOMEM, "libarchive");
    /* Attributes once, in the form that every reader knows. */
    archive_write_set_format_option(t->tar, "pax", "xattrheader", "SCHILY");
    archive_write_set_bytes_per_block(t->tar, BLOCK);
    /* The end of the archive is two empty blocks and nothing more. */
    archive_write_set_bytes_in_last_block(t->tar, 1);
    return sha_init(&t->sha, reterr);
}

void tarout_done(struct tarout *t)
{
    archive_write_free(t->tar);
    sha_done(&t->sha);
}

static la_ssize_t out(struct archive *tar, void *arg, const void *data, size_t len)
{
    struct tarout *t = arg;
    int r = fd_write_all(STDOUT_FILENO, data, len);

    if (r < 0) {
        t->error = -r;
        archive_set_error(tar, t->error, "write");
        return -1;
    }
    t->length += (int64_t)len;
    writeback_push(&t->writeback, STDOUT_FILENO, t->length, false);
    if (t->tell)
        report_wrote(t->length);
    else
        sha_update(&t->sha, data, len);
    return (la_ssize_t)len;
}

static int fail(struct tarout *t, const char *what, struct err *reterr)
{
    const char *text = archive_error_string(t->tar);

    if (t->error)
        return err_sys(reterr, t->error, "write archive");
    return err_set(reterr, ERR_SYSTEM, EIO, "%s: %s", what, text ? text : "cannot be archived");
}

int tarout_start(struct tarout *t, struct err *reterr)
{
    if (archive_write_open(t->tar, t, NULL, out, NULL) != ARCHIVE_OK)
        return fail(t, "archive", reterr);
    return 0;
}

int tarout_header(struct tarout *t, struct archive_entry *e, struct err *reterr)
{
    int r = archive_write_header(t->tar, e);

    /* A warning: a name that is no UTF-8, which pax then carries as it is. */
    return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 0 : fail(t, archive_entry_pathname(e), reterr);
}

int tarout_data(struct tarout *t, const void *data, size_t len, struct err *reterr)
{
    return archive_write_data(t->tar, data, len) < 0 ? fail(t, "archive", reterr) : 0;
}

int tarout_finish(struct tarout *t, char ret_hex[SHA_HEX], struct err *reterr)
{
    if (archive_write_close(t->tar) != ARCHIVE_OK)
        return fail(t, "archive", reterr);
    if (!t->tell)
        return sha_hex(&t->sha, ret_hex, reterr);
    snprintf(ret_hex, SHA_HEX, "-");
    return 0;
}
