#include "elfinfo.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

#define PHDRS_MAX 512
#define DYNS_MAX 4096
#define NEEDED_MAX 1024
#define STRING_MAX 4096

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

/* Both classes in the wider one's shape. */
struct reader {
    int fd;
    bool wide;
    Elf64_Phdr phdrs[PHDRS_MAX];
    size_t n_phdrs;
    uint64_t strings; /* offset of the dynamic string table in the file */
};

void elf_info_done(struct elf_info *e)
{
    free(e->interp);
    free(e->rpath);
    free(e->runpath);
    strv_free(e->needed);
    *e = (struct elf_info){0};
}

/* All of it, or -EBADMSG. */
static int read_at(int fd, uint64_t offset, void *data, size_t len)
{
    size_t done = 0;

    if (offset > INT64_MAX - len)
        return -EBADMSG;
    while (done < len) {
        ssize_t n = pread(fd, (char *)data + done, len - done, (off_t)(offset + done));

        if (n == 0)
            return -EBADMSG;
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Up to its NUL, at most `max` bytes with it. */
static int read_string(int fd, uint64_t offset, size_t max, char **ret)
{
    char text[STRING_MAX];
    ssize_t n;

    if (offset > INT64_MAX - STRING_MAX)
        return -EBADMSG;
    n = pread(fd, text, max < sizeof(text) ? max : sizeof(text), (off_t)offset);
    if (n < 0)
        return -errno;
    if (!memchr(text, '\0', (size_t)n))
        return -EBADMSG;
    free(*ret);
    *ret = *text ? xstrdup(text) : NULL;
    return 0;
}

static int read_phdrs(struct reader *r, uint64_t offset, size_t n)
{
    if (n > PHDRS_MAX)
        return -EBADMSG;
    r->n_phdrs = n;
    if (r->wide)
        return read_at(r->fd, offset, r->phdrs, n * sizeof(r->phdrs[0]));
    for (size_t i = 0; i < n; i++) {
        Elf32_Phdr p;
        int e = read_at(r->fd, offset + i * sizeof(p), &p, sizeof(p));

        if (e < 0)
            return e;
        r->phdrs[i] = (Elf64_Phdr){.p_type = p.p_type,
                                   .p_offset = p.p_offset,
                                   .p_vaddr = p.p_vaddr,
                                   .p_filesz = p.p_filesz};
    }
    return 0;
}

static int read_header(struct reader *r, struct elf_info *ret)
{
    union {
        unsigned char ident[EI_NIDENT];
        Elf64_Ehdr wide;
        Elf32_Ehdr narrow;
    } h;
    int e = read_at(r->fd, 0, &h.ident, sizeof(h.ident));

    if (e < 0)
        return e == -EBADMSG ? 0 : e;
    if (memcmp(h.ident, ELFMAG, SELFMAG) != 0 || h.ident[EI_DATA] != NATIVE_DATA ||
        (h.ident[EI_CLASS] != ELFCLASS64 && h.ident[EI_CLASS] != ELFCLASS32))
        return 0;
    r->wide = h.ident[EI_CLASS] == ELFCLASS64;
    ret->bits = r->wide ? 64 : 32;
    e = read_at(r->fd, 0, &h, r->wide ? sizeof(h.wide) : sizeof(h.narrow));
    if (e < 0)
        return e;
    ret->machine = r->wide ? h.wide.e_machine : h.narrow.e_machine;
    if ((r->wide ? h.wide.e_type : h.narrow.e_type) != ET_EXEC &&
        (r->wide ? h.wide.e_type : h.narrow.e_type) != ET_DYN)
        return 0; /* an object file, a core */
    if ((r->wide ? h.wide.e_phentsize : h.narrow.e_phentsize) !=
        (r->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return -EBADMSG;
    e = r->wide ? read_phdrs(r, h.wide.e_phoff, h.wide.e_phnum)
                : read_phdrs(r, h.narrow.e_phoff, h.narrow.e_phnum);
    return e < 0 ? e : 1;
}

static const Elf64_Phdr *find_segment(const struct reader *r, uint32_t type)
{
    for (size_t i = 0; i < r->n_phdrs; i++) {
        if (r->phdrs[i].p_type == type)
            return &r->phdrs[i];
    }
    return NULL;
}

static int to_offset(const struct reader *r, uint64_t address, uint64_t *ret)
{
    for (size_t i = 0; i < r->n_phdrs; i++) {
        const Elf64_Phdr *p = &r->phdrs[i];

        if (p->p_type == PT_LOAD && address >= p->p_vaddr && address - p->p_vaddr < p->p_filesz) {
            *ret = p->p_offset + (address - p->p_vaddr);
            return 0;
        }
    }
    return -EBADMSG;
}

static int take_string(struct reader *r, const Elf64_Dyn *d, struct elf_info *ret)
{
    uint64_t offset;
    char *name = NULL;
    int e;

    if (__builtin_add_overflow(r->strings, d->d_un.d_val, &offset))
        return -EBADMSG;
    if (d->d_tag == DT_RPATH)
        return read_string(r->fd, offset, SIZE_MAX, &ret->rpath);
    if (d->d_tag == DT_RUNPATH)
        return read_string(r->fd, offset, SIZE_MAX, &ret->runpath);
    e = read_string(r->fd, offset, SIZE_MAX, &name);
    if (e >= 0 && (!name || strv_len(ret->needed) >= NEEDED_MAX))
        e = -EBADMSG;
    if (e >= 0)
        ret->needed = strv_append(ret->needed, name);
    free(name);
    return e;
}

static int read_dyn(const struct reader *r, const Elf64_Phdr *p, size_t i, Elf64_Dyn *ret)
{
    Elf32_Dyn narrow;
    int e;

    if (r->wide)
        return read_at(r->fd, p->p_offset + i * sizeof(*ret), ret, sizeof(*ret));
    e = read_at(r->fd, p->p_offset + i * sizeof(narrow), &narrow, sizeof(narrow));
    if (e >= 0)
        *ret = (Elf64_Dyn){.d_tag = narrow.d_tag, .d_un.d_val = narrow.d_un.d_val};
    return e;
}

static int read_dynamic(struct reader *r, const Elf64_Phdr *p, struct elf_info *ret)
{
    size_t n = p->p_filesz / (r->wide ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn));
    bool strings = false;
    int e = 0;

    if (n > DYNS_MAX)
        return -EBADMSG;
    /* The table of strings first: it may come last. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            Elf64_Dyn d;

            e = read_dyn(r, p, i, &d);
            if (e < 0 || d.d_tag == DT_NULL)
                break;
            if (pass == 0 && d.d_tag == DT_STRTAB) {
                e = to_offset(r, d.d_un.d_val, &r->strings);
                strings = e >= 0;
            } else if (pass == 1 &&
                       (d.d_tag == DT_NEEDED || d.d_tag == DT_RPATH || d.d_tag == DT_RUNPATH)) {
                e = strings ? take_string(r, &d, ret) : -EBADMSG;
            }
            if (e < 0)
                break;
        }
        if (e < 0)
            return e;
    }
    return 0;
}

int elf_read(int fd, struct elf_info *ret)
{
    struct reader r = {.fd = fd};
    const Elf64_Phdr *p;
    int e;

    *ret = (struct elf_info){0};
    e = read_header(&r, ret);
    if (e <= 0)
        return e;
    p = find_segment(&r, PT_INTERP);
    if (p)
        e = read_string(fd, p->p_offset, p->p_filesz, &ret->interp);
    p = find_segment(&r, PT_DYNAMIC);
    if (e >= 0 && p)
        e = read_dynamic(&r, p, ret);
    if (e < 0)
        elf_info_done(ret);
    return e < 0 ? e : 1;
}
