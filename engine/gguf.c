// SPDX-License-Identifier: GPL-3.0-or-later
// GGUF: opening and checking a file.
//
//     magic "GGUF", u32 version, u64 tensors, u64 keys
//     keys times:    string key, u32 type, value     (array: u32 element type, u64 count, elements)
//     tensors times: string name, u32 dims, u64 dim[dims], u32 type, u64 offset
//     padding to general.alignment, then the data that the offsets count from
//
// The one idea: a single cursor walks the header and only ever asks "are n more bytes there?" as
// `size - pos < n`, which cannot wrap. A count is compared with what the rest of the file could
// hold before memory is taken for it, so a file of N bytes never makes us allocate more than a
// small multiple of N.
//
// Invariant: after gguf_open succeeded, every string, array and tensor lies inside the mapping,
// names are unique, and a tensor of a known type holds whole blocks. Nobody else has to check.
//
// Names are looked up in arrays of pointers sorted by name, not in a hash table: sorting finds
// duplicates on the way and a hostile file cannot make it quadratic.
#include "engine/gguf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF data is used in place");

enum {
    MIN_VALUE_BYTES = 8 + 1 + 4 + 1,          // string length, one letter, type, one byte
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, // name, dims, one dim, type, offset
    MAX_KEY = 65535,                          // GGUF specification, gguf_metadata_kv_t
    MAX_NAME = 64,                            // GGUF specification, gguf_tensor_info_t
    DEFAULT_ALIGNMENT = 32,                   // GGUF specification, general.alignment
    MAX_ALIGNMENT = 1 << 20,                  // ours: beyond a page it only wastes space
    MEMORY_ALIGNMENT = 8,                     // F32 data is read in place
};

// What gguf_open really allocates; the public part comes first.
struct gguf_file {
    struct gguf g;
    // Pointers to the names inside g.values and g.tensors, sorted. The name is the first member of
    // both structs, so a pointer to it is a pointer to the entry.
    const struct gguf_str **keys, **names;
    bool mapped;
    char path[];
};
_Static_assert(offsetof(struct gguf_value, key) == 0, "index points at the entry");
_Static_assert(offsetof(struct gguf_tensor, name) == 0, "index points at the entry");
_Static_assert(offsetof(struct gguf_file, g) == 0, "the public part comes first");

struct reader {
    const uint8_t *map;
    uint64_t size, pos;
    const char *path;
    char key[72]; // the key or tensor that is being read, printable
    struct err *e;
};

static __attribute__((format(printf, 4, 5))) int fail(const struct reader *r, int code,
                                                      uint64_t where, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_at(r->e, code, r->path, 0, r->key, "%s (at byte %" PRIu64 ")", text, where);
}

// Names come from the file and end in messages: only printable letters, and not too many.
static void printable(char *dst, size_t size, struct gguf_str s)
{
    size_t n = s.n < size - 1 ? (size_t)s.n : size - 1;
    for (size_t i = 0; i < n; i++)
        dst[i] = s.s[i] >= 0x20 && s.s[i] < 0x7f ? s.s[i] : '?';
    dst[n] = 0;
}

static uint64_t left(const struct reader *r)
{
    return r->size - r->pos;
}

static int take(struct reader *r, void *dst, uint64_t n, const char *what)
{
    if (left(r) < n)
        return fail(r, ERR_FORMAT, r->pos,
                    "the file ends inside %s: %" PRIu64 " bytes needed, %" PRIu64 " left", what, n,
                    left(r));
    memcpy(dst, r->map + r->pos, (size_t)n);
    r->pos += n;
    return 0;
}

static int take_string(struct reader *r, struct gguf_str *out, const char *what)
{
    uint64_t n = 0, at = r->pos;
    int rc = take(r, &n, sizeof n, what);
    if (rc < 0)
        return rc;
    if (n > left(r))
        return fail(r, ERR_FORMAT, at,
                    "%s claims %" PRIu64 " letters, but the file has %" PRIu64 " bytes left", what,
                    n, left(r));
    *out = (struct gguf_str){(const char *)r->map + r->pos, n};
    r->pos += n;
    return 0;
}

// A key or a tensor name: becomes r->key, so that later errors name it.
static int take_name(struct reader *r, struct gguf_str *out, uint64_t max, const char *what)
{
    uint64_t at = r->pos;
    r->key[0] = 0;
    int rc = take_string(r, out, what);
    if (rc < 0)
        return rc;
    if (out->n == 0 || out->n > max)
        return fail(r, ERR_FORMAT, at, "%s has %" PRIu64 " letters, 1 to %" PRIu64 " are allowed",
                    what, out->n, max);
    printable(r->key, sizeof r->key, *out);
    for (uint64_t i = 0; i < out->n; i++)
        if ((unsigned char)out->s[i] < 0x20 || out->s[i] == 0x7f)
            return fail(r, ERR_FORMAT, at, "%s has a control character", what);
    return 0;
}

// Bytes of one scalar; 0 for strings, arrays and numbers that are no type.
static uint64_t scalar_size(uint32_t type)
{
    static const uint8_t size[] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return type < sizeof size ? size[type] : 0;
}

static int take_elements(struct reader *r, struct gguf_value *v, uint32_t type)
{
    uint64_t at = r->pos, each = type == GGUF_STRING ? sizeof(uint64_t) : scalar_size(type);
    if (!each)
        return fail(r, ERR_FORMAT, at, "value type %" PRIu32 " is not one of GGUF's", type);
    v->data = r->map + r->pos;
    if (v->count > left(r) / each)
        return fail(r, ERR_FORMAT, at,
                    "%" PRIu64 " elements of at least %" PRIu64
                    " bytes do not fit into the %" PRIu64 " bytes left",
                    v->count, each, left(r));
    if (type != GGUF_STRING) {
        r->pos += v->count * each;
        return 0;
    }
    for (uint64_t i = 0; i < v->count; i++) {
        struct gguf_str s;
        int rc = take_string(r, &s, v->type == GGUF_ARRAY ? "a string of the array" : "the string");
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int take_value(struct reader *r, struct gguf_value *v)
{
    uint32_t type;
    int rc = take_name(r, &v->key, MAX_KEY, "a key");
    if (rc < 0)
        return rc;
    if ((rc = take(r, &type, sizeof type, "the value's type")) < 0)
        return rc;
    v->count = 1;
    v->type = v->element = (enum gguf_type)type;
    if (type == GGUF_ARRAY) {
        uint64_t at = r->pos;
        if ((rc = take(r, &type, sizeof type, "the array's element type")) < 0 ||
            (rc = take(r, &v->count, sizeof v->count, "the array's length")) < 0)
            return rc;
        if (type == GGUF_ARRAY)
            return fail(r, ERR_FORMAT, at, "an array of arrays is not supported");
        v->element = (enum gguf_type)type;
    }
    return take_elements(r, v, type);
}

// Everything of a tensor except where its data is, which needs the end of the header.
static int take_tensor(struct reader *r, struct gguf_tensor *t, uint64_t *offset)
{
    int rc = take_name(r, &t->name, MAX_NAME, "a tensor name");
    if (rc < 0)
        return rc;
    uint64_t at = r->pos, values = 1, dim = 0;
    if ((rc = take(r, &t->n_dims, sizeof t->n_dims, "the number of dimensions")) < 0)
        return rc;
    if (t->n_dims < 1 || t->n_dims > 4)
        return fail(r, ERR_FORMAT, at, "%" PRIu32 " dimensions, 1 to 4 are allowed", t->n_dims);
    for (uint32_t i = 0; i < 4; i++)
        t->dim[i] = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        at = r->pos;
        if ((rc = take(r, &dim, sizeof dim, "a dimension")) < 0)
            return rc;
        if (dim == 0)
            return fail(r, ERR_FORMAT, at, "dimension %" PRIu32 " is 0", i);
        // 2^60 values keep every size below 2^63 bytes, whatever the encoding.
        if (__builtin_mul_overflow(values, dim, &values) || values > UINT64_C(1) << 60)
            return fail(r, ERR_FORMAT, at, "the dimensions' product overflows");
        t->dim[i] = (int64_t)dim;
    }
    at = r->pos;
    if ((rc = take(r, &t->ggml_type, sizeof t->ggml_type, "the tensor's type")) < 0 ||
        (rc = take(r, offset, sizeof *offset, "the tensor's offset")) < 0)
        return rc;
    t->enc = encoding_find_type(t->ggml_type);
    if (!t->enc)
        return 0;
    if (t->dim[0] % t->enc->block)
        return fail(r, ERR_FORMAT, at, "rows of %" PRId64 " values are no whole %s blocks of %u",
                    t->dim[0], t->enc->name, (unsigned)t->enc->block);
    t->size = encoding_size(t->enc, (int64_t)values);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct gguf_str *x = *(const struct gguf_str *const *)a,
                          *y = *(const struct gguf_str *const *)b;
    int c = memcmp(x->s, y->s, (size_t)(x->n < y->n ? x->n : y->n));
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

// Sorts an index of n entries of `stride` bytes and refuses duplicates.
static int index_names(struct reader *r, const struct gguf_str **index, const void *entries,
                       uint64_t n, size_t stride, const char *what)
{
    for (uint64_t i = 0; i < n; i++)
        index[i] = (const struct gguf_str *)(const void *)((const char *)entries + i * stride);
    qsort(index, (size_t)n, sizeof *index, compare_names);
    for (uint64_t i = 1; i < n; i++)
        if (compare_names(&index[i - 1], &index[i]) == 0) {
            const char *a = index[i - 1]->s, *b = index[i]->s;
            printable(r->key, sizeof r->key, *index[i]);
            return fail(r, ERR_FORMAT, (uint64_t)((const uint8_t *)(a > b ? a : b) - r->map),
                        "the %s appears twice", what);
        }
    return 0;
}

static int take_preamble(struct reader *r, struct gguf *g)
{
    uint8_t magic[4];
    int rc = take(r, magic, sizeof magic, "the magic number");
    if (rc < 0)
        return rc;
    if (memcmp(magic, "GGUF", 4) != 0)
        return fail(r, ERR_FORMAT, 0, "not a GGUF file: it begins with %02x %02x %02x %02x",
                    magic[0], magic[1], magic[2], magic[3]);
    if ((rc = take(r, &g->version, sizeof g->version, "the version")) < 0)
        return rc;
    if (g->version && !(g->version & 0xffff))
        return fail(r, ERR_UNSUPPORTED, 4,
                    "a big-endian GGUF file; this build reads little-endian");
    if (g->version != 2 && g->version != 3)
        return fail(r, ERR_UNSUPPORTED, 4, "GGUF version %" PRIu32 "; this build reads 2 and 3",
                    g->version);
    if ((rc = take(r, &g->n_tensors, sizeof g->n_tensors, "the number of tensors")) < 0 ||
        (rc = take(r, &g->n_values, sizeof g->n_values, "the number of keys")) < 0)
        return rc;
    if (g->n_tensors > left(r) / MIN_TENSOR_BYTES)
        return fail(r, ERR_FORMAT, 8, "%" PRIu64 " tensors do not fit into %" PRIu64 " bytes",
                    g->n_tensors, r->size);
    if (g->n_values > left(r) / MIN_VALUE_BYTES)
        return fail(r, ERR_FORMAT, 16, "%" PRIu64 " keys do not fit into %" PRIu64 " bytes",
                    g->n_values, r->size);
    return 0;
}

static int find_alignment(const struct gguf *g, uint64_t *alignment, struct err *e)
{
    int64_t a;
    int rc = gguf_int(g, "general.alignment", DEFAULT_ALIGNMENT, 0, INT64_MAX, &a, e);
    if (rc < 0)
        return rc;
    if (a < 8 || a > MAX_ALIGNMENT || (a & (a - 1)))
        return err_at(
            e, ERR_FORMAT, g->path, 0, "general.alignment",
            "%" PRId64 " is not a power of two from 8 to %d (at byte %" PRIu64 ")", a,
            MAX_ALIGNMENT,
            (uint64_t)((const uint8_t *)gguf_find(g, "general.alignment")->data - g->map));
    *alignment = (uint64_t)a;
    return 0;
}

// Turns the offset of a tensor into a pointer. `where` is its offset field, for the message.
static int place_tensor(struct reader *r, struct gguf_tensor *t, uint64_t base, uint64_t alignment,
                        uint64_t offset, uint64_t where)
{
    printable(r->key, sizeof r->key, t->name);
    if (offset % alignment)
        return fail(r, ERR_FORMAT, where, "offset %" PRIu64 " is not a multiple of %" PRIu64,
                    offset, alignment);
    uint64_t room = base <= r->size ? r->size - base : 0;
    if (offset > room || (uint64_t)t->size > room - offset)
        return fail(r, ERR_FORMAT, where,
                    "%" PRId64 " bytes at offset %" PRIu64
                    " end behind the file, which has %" PRIu64 " bytes of data",
                    t->size, offset, room);
    t->data = r->map + base + offset;
    return 0;
}

static int parse(struct gguf_file *f, struct err *e)
{
    struct gguf *g = &f->g;
    struct reader r = {.map = g->map, .size = g->size, .path = g->path, .e = e};
    uint64_t *offsets = NULL, alignment = DEFAULT_ALIGNMENT;
    int rc = take_preamble(&r, g);
    if (rc < 0)
        return rc;
    // One element more than needed: calloc(0) may return NULL.
    g->values = calloc((size_t)g->n_values + 1, sizeof *g->values);
    g->tensors = calloc((size_t)g->n_tensors + 1, sizeof *g->tensors);
    f->keys = calloc((size_t)g->n_values + 1, sizeof *f->keys);
    f->names = calloc((size_t)g->n_tensors + 1, sizeof *f->names);
    offsets = calloc((size_t)g->n_tensors + 1, sizeof *offsets);
    if (!g->values || !g->tensors || !f->keys || !f->names || !offsets) {
        rc = err_at(e, ERR_MEMORY, g->path, 0, NULL,
                    "no memory for %" PRIu64 " keys and %" PRIu64 " tensors", g->n_values,
                    g->n_tensors);
        goto free_offsets;
    }
    for (uint64_t i = 0; i < g->n_values; i++)
        if ((rc = take_value(&r, &g->values[i])) < 0)
            goto free_offsets;
    if ((rc = index_names(&r, f->keys, g->values, g->n_values, sizeof *g->values, "key")) < 0 ||
        (rc = find_alignment(g, &alignment, e)) < 0)
        goto free_offsets;
    for (uint64_t i = 0; i < g->n_tensors; i++)
        if ((rc = take_tensor(&r, &g->tensors[i], &offsets[i])) < 0)
            goto free_offsets;
    rc = index_names(&r, f->names, g->tensors, g->n_tensors, sizeof *g->tensors, "tensor");
    if (rc < 0)
        goto free_offsets;
    uint64_t base = (r.pos + alignment - 1) & ~(alignment - 1); // pos <= file size: no overflow
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        // The offset field follows the name, the dimensions and the type.
        const struct gguf_tensor *t = &g->tensors[i];
        uint64_t where = (uint64_t)((const uint8_t *)t->name.s - g->map) + t->name.n + 4 +
                         8 * (uint64_t)t->n_dims + 4;
        if ((rc = place_tensor(&r, &g->tensors[i], base, alignment, offsets[i], where)) < 0)
            goto free_offsets;
    }
free_offsets:
    free(offsets);
    return rc < 0 ? rc : 0;
}

static struct gguf_file *create(const char *path, const void *map, uint64_t size, bool mapped)
{
    size_t n = strlen(path) + 1;
    struct gguf_file *f = calloc(1, sizeof *f + n);
    if (!f)
        return NULL;
    memcpy(f->path, path, n);
    f->mapped = mapped;
    f->g.path = f->path;
    f->g.map = map;
    f->g.size = size;
    return f;
}

int gguf_open_memory(const char *name, const void *data, size_t size, struct gguf **out,
                     struct err *e)
{
    if ((uintptr_t)data % MEMORY_ALIGNMENT)
        return err_at(e, ERR_USAGE, name, 0, NULL,
                      "GGUF data in memory must be aligned to %d bytes", MEMORY_ALIGNMENT);
    struct gguf_file *f = create(name, data, size, false);
    if (!f)
        return err_at(e, ERR_MEMORY, name, 0, NULL, "no memory to open it");
    int rc = parse(f, e);
    if (rc < 0) {
        gguf_close(&f->g);
        return rc;
    }
    *out = &f->g;
    return 0;
}

int gguf_open(const char *path, struct gguf **out, struct err *e)
{
    int rc = 0;
    void *map = MAP_FAILED;
    struct gguf_file *f = NULL;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot open: %s", strerror(errno));
    if (fstat(fd, &st) != 0) {
        rc = err_at(e, ERR_IO, path, 0, NULL, "cannot examine: %s", strerror(errno));
        goto close_fd;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = err_at(e, ERR_IO, path, 0, NULL, "not a regular file");
        goto close_fd;
    }
    if (st.st_size == 0) {
        rc = err_at(e, ERR_FORMAT, path, 0, NULL, "not a GGUF file: it is empty (at byte 0)");
        goto close_fd;
    }
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        rc = err_at(e, ERR_IO, path, 0, NULL, "cannot map: %s", strerror(errno));
        goto close_fd;
    }
    f = create(path, map, (uint64_t)st.st_size, true);
    if (!f) {
        munmap(map, (size_t)st.st_size);
        rc = err_at(e, ERR_MEMORY, path, 0, NULL, "no memory to open it");
        goto close_fd;
    }
    if ((rc = parse(f, e)) < 0)
        gguf_close(&f->g);
    else
        *out = &f->g;
close_fd:
    close(fd); // the mapping stays
    return rc;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    struct gguf_file *f = (struct gguf_file *)(void *)g;
    if (f->mapped)
        munmap((void *)(uintptr_t)g->map, (size_t)g->size);
    free(g->values);
    free(g->tensors);
    free(f->keys);
    free(f->names);
    free(f);
}

static const void *find(const struct gguf_str *const *index, uint64_t n, const char *name)
{
    struct gguf_str want = {name, strlen(name)};
    const struct gguf_str *key = &want;
    const struct gguf_str *const *hit =
        bsearch(&key, index, (size_t)n, sizeof *index, compare_names);
    return hit ? *hit : NULL;
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    const struct gguf_file *f = (const struct gguf_file *)(const void *)g;
    return find(f->keys, g->n_values, key);
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
    const struct gguf_file *f = (const struct gguf_file *)(const void *)g;
    return find(f->names, g->n_tensors, name);
}
