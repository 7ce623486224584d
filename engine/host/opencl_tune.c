// SPDX-License-Identifier: GPL-3.0-or-later
// Which tile sizes a matrix product runs on. At the first product of a class (encoding, one token
// or several, sizes to the next power of two) the tuner lets the candidates compute the very
// product that was asked for, times them by profiling events, and keeps the fastest. All variants
// give the same bits (kernels/matmul.cl), so that nobody needs other data for it, and no result
// depends on which one won.
//
// Choices are kept in a file per device, driver and source of the kernels, one line each. A file
// that is not exactly what this version would write is not believed: every line must name a
// candidate, and the last line counts them.
#include "engine/host/opencl_call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"

// Products below this many weights are not worth the tuner's time.
enum { TUNE_WEIGHTS = 1 << 20, TUNE_RUNS = 3 };

// A candidate, and when it is worth its program, which takes longer to compile than anything to
// run: always (-1), or if candidate `after` is the best so far. So shapes that differ much are
// tried first, and then those near the best. The first one is the default.
struct candidate {
    struct opencl_tile tile; // lanes, rows, tokens, columns, vectors, width, local, image
    int after;
};

static const struct candidate cpu_bytes[] = {
    {{1, 16, 96, 512, 1, 8, 0, 0}, -1},
    {{1, 32, 128, 1024, 1, 4, 0, 0}, -1},
    {{1, 16, 192, 1024, 1, 8, 0, 0}, 0},
};
static const struct candidate cpu_floats[] = {
    {{1, 32, 96, 128, 2, 4, 0, 0}, -1}, {{1, 32, 96, 256, 1, 8, 0, 0}, -1},
    {{1, 16, 96, 256, 2, 4, 0, 0}, 0},  {{1, 64, 192, 64, 2, 4, 0, 0}, 0},
    {{1, 32, 96, 128, 2, 4, 1, 0}, 0},
};
// Real GPUs: lanes x (8 vectors) x width = rows x tokens; at most 24 KiB of local memory.
static const struct candidate gpu_bytes[] = {
    {{32, 32, 32, 128, 1, 4, 1, 0}, -1}, {{64, 64, 32, 128, 1, 4, 1, 0}, -1},
    {{64, 32, 32, 128, 1, 2, 1, 0}, 0},  {{128, 64, 64, 64, 1, 4, 1, 0}, 1},
    {{64, 64, 64, 128, 1, 8, 1, 0}, 1},  {{128, 64, 64, 128, 1, 4, 1, 0}, 3},
    {{256, 128, 64, 64, 1, 4, 1, 0}, 3},
};
static const struct candidate gpu_floats[] = {
    {{32, 32, 32, 64, 1, 4, 1, 0}, -1}, {{64, 64, 32, 32, 1, 4, 1, 0}, -1},
    {{64, 32, 32, 64, 1, 2, 1, 0}, 0},  {{128, 64, 64, 32, 1, 4, 1, 0}, 1},
    {{64, 64, 64, 32, 1, 8, 1, 0}, 1},  {{256, 128, 64, 32, 1, 4, 1, 0}, 3},
};
// One program for all candidates with the same number of rows at once.
static const struct candidate cpu_gemv[] = {
    {{.lanes = 1, .rows = 64, .width = 4}, -1},
    {{.lanes = 1, .rows = 256, .width = 4}, -1},
    {{.lanes = 1, .rows = 64, .width = 8}, -1},
};
// Lanes are the device's: another number of lanes adds in another order.
static const struct candidate gpu_gemv[] = {
    {{.rows = 16, .width = 4}, -1}, {{.rows = 4, .width = 4}, -1}, {{.rows = 32, .width = 4}, -1},
    {{.rows = 8, .width = 2}, -1},  {{.rows = 2, .width = 1}, 3},
};

#define LIST(a) (*n = (int)(sizeof(a) / sizeof *(a)), (a))
static const struct candidate *list(const struct opencl *d, enum opencl_enc enc, bool gemm, int *n)
{
    bool cpu = d->lanes == 1;
    if (!gemm)
        return cpu ? LIST(cpu_gemv) : LIST(gpu_gemv);
    if (opencl_act_of(d, enc) == 8)
        return cpu ? LIST(cpu_bytes) : LIST(gpu_bytes);
    return cpu ? LIST(cpu_floats) : LIST(gpu_floats);
}

// Local memory of a work-group, in bytes.
static size_t local_bytes(const struct opencl *d, enum opencl_enc enc, const struct opencl_tile *t)
{
    size_t rows = (size_t)t->rows, tokens = (size_t)t->tokens, columns = (size_t)t->columns;
    switch (opencl_act_of(d, enc)) {
    case 8: // with two scales and a minimum per 32 weights, a scale and a sum per 32 activations
        return rows * columns * 11 / 8 + (t->local ? tokens * columns * 10 / 8 : 0);
    case 16:
        return rows * columns * (d->half_is_float ? 4 : 2) + (t->local ? tokens * columns * 4 : 0);
    default:
        return rows * columns * 4 + (t->local ? tokens * columns * 4 : 0);
    }
}

// Candidate i as this device can run it; false where it cannot.
static bool candidate(const struct opencl *d, enum opencl_enc enc, bool gemm, int i,
                      struct opencl_tile *out)
{
    int n;
    const struct candidate *l = list(d, enc, gemm, &n);
    if (i >= n)
        return false;
    *out = l[i].tile;
    out->image = d->weights == WEIGHTS_IMAGE;
    if (!gemm || out->lanes > d->max_lanes || d->opt.lanes)
        out->lanes = d->lanes;
    return !gemm || local_bytes(d, enc, out) <= d->local_memory;
}

struct opencl_tile opencl_tile_default(const struct opencl *d, enum opencl_enc enc, bool gemm)
{
    const struct conf_int_list *o = gemm ? &d->opt.gemm_tile : &d->opt.gemv_tile;
    struct opencl_tile t;
    int image = d->weights == WEIGHTS_IMAGE;
    if (o->n && gemm)
        return (struct opencl_tile){(int)o->v[5], (int)o->v[0], (int)o->v[1], (int)o->v[2],
                                    (int)o->v[3], (int)o->v[4], (int)o->v[6], image};
    if (o->n)
        return (struct opencl_tile){
            .lanes = d->lanes, .rows = (int)o->v[0], .width = (int)o->v[1], .image = image};
    for (int i = 0; i < OPENCL_CANDIDATES; i++)
        if (candidate(d, enc, gemm, i, &t))
            return t;
    // Little local memory: the least that the kernel can do.
    return (struct opencl_tile){d->lanes, 8, 8, 32, 1, 4, 0, image};
}

// Sizes of a class: log2, rounded up.
static int size_class(int64_t n)
{
    int c = 0;
    while (c < 40 && (INT64_C(1) << c) < n)
        c++;
    return c;
}

static bool same_class(const struct opencl_choice *a, const struct opencl_choice *b)
{
    return a->enc == b->enc && a->act == b->act && a->weights == b->weights && a->m == b->m &&
           a->k == b->k && a->n == b->n;
}

static void remember(struct opencl *d, const struct opencl_choice *c)
{
    for (int i = 0; i < d->n_choices; i++)
        if (same_class(&d->choice[i], c)) {
            d->choice[i] = *c;
            return;
        }
    if (d->n_choices < OPENCL_CHOICES)
        d->choice[d->n_choices++] = *c;
}

// Everything that a choice depends on besides its class.
static uint64_t device_digest(const struct opencl *d)
{
    static const cl_device_info what[] = {CL_DEVICE_NAME, CL_DEVICE_VERSION, CL_DRIVER_VERSION};
    uint64_t g = digest_u64(opencl_source_digest(), (uint64_t)d->lanes);
    cl_uint units = 0;
    char text[256];
    g = digest_str(g, d->name);
    for (int i = 0; i < 3; i++) {
        memset(text, 0, sizeof text);
        clGetDeviceInfo(d->dev, what[i], sizeof text - 1, text, NULL);
        g = digest_str(g, text);
    }
    clGetDeviceInfo(d->dev, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    return digest_u64(g, units);
}

// The directories of a path, as far as they can be made.
static void make_parents(char *path)
{
    for (char *p = path + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(path, 0777);
            *p = '/';
        }
}

// Whether a choice among buffers and images can have ended so.
static bool may_choose(int weights, int image)
{
    return image == 0 ? weights != WEIGHTS_IMAGE : image == 1 && weights != WEIGHTS_BUFFER;
}

void opencl_tune_open(struct opencl *d)
{
    if (d->opt.tune == TUNE_OFF)
        return;
    char digest[17];
    const char *dir = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    digest_text(device_digest(d), digest);
    if (*d->opt.tune_cache)
        d->cache_path = d->opt.tune_cache;
    else if (dir && *dir == '/')
        d->cache_path = arena_printf(&d->arena, "%s/partita/opencl-%s.txt", dir, digest);
    else if (home && *home == '/')
        d->cache_path = arena_printf(&d->arena, "%s/.cache/partita/opencl-%s.txt", home, digest);
    if (!d->cache_path)
        return;
    d->cache_head = arena_printf(&d->arena, "partita opencl tiles 2 %s", digest);
    if (d->opt.tune == TUNE_FORCE)
        return;
    FILE *f = fopen(d->cache_path, "r");
    if (!f)
        return;
    char line[256] = "";
    bool good = fgets(line, sizeof line, f) &&
                !strncmp(line, d->cache_head, strlen(d->cache_head)) &&
                line[strlen(d->cache_head)] == '\n';
    int n = 0, claimed = -1;
    while (good && claimed < 0 && fgets(line, sizeof line, f)) {
        struct opencl_choice c = {0};
        struct opencl_tile t;
        char end;
        if (sscanf(line, "%d %d %d %d %d %d %d %d%c", &c.enc, &c.act, &c.weights, &c.m, &c.k, &c.n,
                   &c.index, &c.image, &end) == 9 &&
            end == '\n') {
            good = c.weights >= WEIGHTS_AUTO && c.weights <= WEIGHTS_IMAGE &&
                   may_choose(c.weights, c.image) && c.enc >= 0 && c.enc < ENC_COUNT &&
                   n < OPENCL_CHOICES && c.index >= 0 && c.index < OPENCL_CANDIDATES &&
                   (c.act != opencl_act_of(d, (enum opencl_enc)c.enc) ||
                    candidate(d, (enum opencl_enc)c.enc, c.n > 0, c.index, &t));
            if (good)
                d->choice[n++] = c;
        } else {
            good = sscanf(line, "end %d%c", &claimed, &end) == 2 && end == '\n' && claimed == n;
        }
    }
    good = good && claimed == n && !fgets(line, sizeof line, f);
    fclose(f);
    d->n_choices = good ? n : 0;
    if (!good)
        log_info("%s: %s is not what this version wrote for this device: not used", d->name,
                 d->cache_path);
}

// A cache that cannot be written costs time at the next start, nothing else.
static void save(const struct opencl *d)
{
    struct err e = {0};
    struct file out;
    if (!d->cache_path)
        return;
    char *path = strdup(d->cache_path);
    assert(path);
    make_parents(path);
    free(path);
    int rc = file_begin(&out, d->cache_path, &e);
    if (!rc) {
        fprintf(out.f, "%s\n", d->cache_head);
        for (int i = 0; i < d->n_choices; i++) {
            const struct opencl_choice *c = &d->choice[i];
            fprintf(out.f, "%d %d %d %d %d %d %d %d\n", c->enc, c->act, c->weights, c->m, c->k,
                    c->n, c->index, c->image);
        }
        fprintf(out.f, "end %d\n", d->n_choices);
        rc = file_end(&out, 0, &e);
    }
    if (rc)
        log_info("%s: tile sizes are not kept: %s", d->name, e.msg);
}

// Runs the product once on a tile; *ps: how long it took.
static int timed(struct opencl *d, const struct opencl_product *p, const struct opencl_tile *t,
                 int64_t *ps, struct err *e)
{
    struct opencl_ticket own = {0}, *current = d->current;
    if (current)
        memcpy(own.name, current->name, sizeof own.name);
    d->current = &own;
    int rc = opencl_product(d, p, t, e);
    d->current = current;
    int64_t since = host_now();
    cl_int code = rc ? 0 : clFinish(d->queue);
    opencl_took(d, since);
    if (!rc && !code) {
        cl_ulong begin = 0, end = 0;
        code = clGetEventProfilingInfo(own.first, CL_PROFILING_COMMAND_START, sizeof begin, &begin,
                                       NULL);
        if (!code)
            code = clGetEventProfilingInfo(own.first, CL_PROFILING_COMMAND_END, sizeof end, &end,
                                           NULL);
        *ps = end > begin ? (int64_t)(end - begin) * 1000 : 0;
    }
    if (own.first)
        clReleaseEvent(own.first);
    if (own.last)
        clReleaseEvent(own.last);
    return rc ? rc : code ? opencl_fail(d, e, code, "timing a candidate") : 0;
}

// The least time of a few runs on a tile; INT64_MAX when it does not build or run, which is no
// error as long as another does. Negative: the device failed.
static int least_time(struct opencl *d, const struct opencl_product *p, const struct opencl_tile *t,
                      const char *name, int64_t best, int64_t *least, struct err *e)
{
    int rc = 0;
    *least = INT64_MAX;
    // The first run may compile; one that is far off is not repeated.
    for (int r = 0; !rc && r <= TUNE_RUNS && (r < 2 || *least / 2 < best); r++) {
        struct err own = {0};
        int64_t ps = 0;
        rc = timed(d, p, t, &ps, &own);
        if (rc)
            log_info("%s: %s", name, own.msg);
        else if (r && ps < *least)
            *least = ps;
    }
    if (rc) {
        *least = INT64_MAX;
        return clFinish(d->queue) ? opencl_fail(d, e, CL_OUT_OF_RESOURCES, "tuning") : 0;
    }
    log_debug("%s: %s %dx%d, %d tokens: %s%s: %.1f us", d->name, opencl_enc_name(p->enc),
              (int)p->rows, (int)p->k, (int)p->tokens, name, t->image ? ", image" : "",
              (double)*least / 1e6);
    return 0;
}

static int tune(struct opencl *d, const struct opencl_product *p, struct opencl_choice *c,
                struct err *e)
{
    int64_t best = INT64_MAX, ps;
    struct opencl_tile t;
    char name[24];
    int rc = clFinish(d->queue); // what is queued would be timed, too
    if (rc)
        return opencl_fail(d, e, rc, "before tuning");
    c->index = -1;
    int n;
    const struct candidate *l = list(d, p->enc, p->tokens > 1, &n);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "tiles %d", i);
        if ((l[i].after >= 0 && l[i].after != c->index) ||
            !candidate(d, p->enc, p->tokens > 1, i, &t))
            continue;
        rc = least_time(d, p, &t, name, best, &ps, e);
        if (rc)
            return rc;
        if (ps < best) {
            best = ps;
            c->index = i;
            c->image = t.image;
        }
    }
    if (c->index < 0)
        return 0;
    // Where both are free, the best sizes once more on an image.
    if (d->weights == WEIGHTS_AUTO && p->image) {
        snprintf(name, sizeof name, "tiles %d", c->index);
        candidate(d, p->enc, p->tokens > 1, c->index, &t);
        t.image = 1;
        rc = least_time(d, p, &t, name, best, &ps, e);
        if (rc)
            return rc;
        c->image = ps < best;
    }
    log_info("%s: %s %dx%d, %d tokens: tiles %d%s", d->name, opencl_enc_name(p->enc), (int)p->rows,
             (int)p->k, (int)p->tokens, c->index, c->image ? ", image" : "");
    remember(d, c);
    save(d);
    return 0;
}

// The tile of a choice. A matrix that has no image is read as a buffer, whatever is faster.
static int use(const struct opencl *d, const struct opencl_product *p,
               const struct opencl_choice *c, struct opencl_tile *out)
{
    candidate(d, p->enc, p->tokens > 1, c->index, out);
    out->image = c->image && p->image;
    return 0;
}

int opencl_tile_for(struct opencl *d, const struct opencl_product *p, struct opencl_tile *out,
                    struct err *e)
{
    bool gemm = p->tokens > 1;
    *out = opencl_tile_default(d, p->enc, gemm);
    if (d->opt.tune == TUNE_OFF || !d->profiling ||
        (gemm ? d->opt.gemm_tile.n : d->opt.gemv_tile.n) || p->rows * p->k < TUNE_WEIGHTS)
        return 0;
    struct opencl_choice c = {.enc = (int)p->enc,
                              .act = opencl_act_of(d, p->enc),
                              .weights = d->weights,
                              .m = size_class(p->rows),
                              .k = size_class(p->k),
                              .n = size_class(p->tokens)};
    for (int i = 0; i < d->n_choices; i++)
        if (same_class(&d->choice[i], &c)) {
            return use(d, p, &d->choice[i], out);
        }
    int rc = tune(d, p, &c, e);
    return !rc && c.index >= 0 ? use(d, p, &c, out) : rc;
}
