// SPDX-License-Identifier: GPL-3.0-or-later
// Parsing a spec and resolving a machine's configuration costs more than simulating some points. A
// space has few different texts, so each is digested once and remembered by its text.
//
// Invariant: what is remembered is a function of the text (and of the context, which is fixed), so
// that it does not matter what was asked before.
#include "explore/identity.h"

#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "base/version.h"
#include "engine/policy.h"
#include "engine/sync.h"

struct known {
    const char *text; // NULL: free
    uint64_t digest;
};

// Text -> digest, open addressing.
struct memory {
    struct known *slot;
    size_t room, n; // room: a power of two
};

struct identity {
    const struct evaluate_context *c;
    struct memory policy, sync, machine;
    uint64_t work;     // model and requests
    uint64_t hardware; // of level "hardware": the host and the model with weights; 0: none
    struct arena arena;
};

static struct known *find(struct memory *m, const char *text)
{
    size_t i = (size_t)digest_str(DIGEST_INIT, text) & (m->room - 1);
    while (m->slot[i].text && strcmp(m->slot[i].text, text))
        i = (i + 1) & (m->room - 1);
    return &m->slot[i];
}

static void grow(struct memory *m)
{
    struct memory old = *m;
    m->room = old.room ? old.room * 2 : 64;
    m->slot = calloc(m->room, sizeof *m->slot);
    if (!m->slot)
        abort();
    for (size_t i = 0; i < old.room; i++)
        if (old.slot[i].text)
            *find(m, old.slot[i].text) = old.slot[i];
    free(old.slot);
}

// The entry of a text; a new one (*is_new) is to be filled.
static struct known *lookup(struct identity *d, struct memory *m, const char *text, bool *is_new)
{
    if (2 * m->n >= m->room)
        grow(m);
    struct known *k = find(m, text);
    *is_new = !k->text;
    if (*is_new) {
        k->text = arena_strdup(&d->arena, text);
        m->n++;
    }
    return k;
}

static uint64_t policy_digest(struct identity *d, const char *spec)
{
    bool is_new;
    struct known *k = lookup(d, &d->policy, spec, &is_new);
    if (is_new) {
        const struct policy_ops *ops;
        const void *options;
        struct err e = {0};
        struct arena_mark mark = arena_mark(&d->arena);
        k->digest = digest_str(DIGEST_INIT, spec);
        if (policy_parse(spec, &d->arena, &ops, &options, &e) >= 0)
            k->digest =
                conf_digest(digest_str(DIGEST_INIT, ops->name), ops->rows, ops->n_rows, options);
        arena_rewind(&d->arena, mark);
    }
    return k->digest;
}

static uint64_t sync_digest(struct identity *d, const char *spec)
{
    bool is_new;
    struct known *k = lookup(d, &d->sync, spec, &is_new);
    if (is_new) {
        const struct sync_ops *ops;
        const void *options;
        struct err e = {0};
        struct arena_mark mark = arena_mark(&d->arena);
        k->digest = digest_str(DIGEST_INIT, spec);
        if (sync_parse(spec, &d->arena, &ops, &options, &e) >= 0)
            k->digest =
                conf_digest(digest_str(DIGEST_INIT, ops->name), ops->rows, ops->n_rows, options);
        arena_rewind(&d->arena, mark);
    }
    return k->digest;
}

static uint64_t factory_digest(const struct machine_factory *f, const char *const *overrides, int n)
{
    uint64_t d = 0;
    struct err e = {0};
    if (!f->digest || f->digest(f, overrides, n, &d, &e) < 0) {
        d = digest_str(DIGEST_INIT, f->spec ? f->spec : "");
        for (int i = 0; i < n; i++)
            d = digest_str(d, overrides[i]);
    }
    return digest_u64(d, f->values);
}

// Of all machines of the space under these overrides, and of how their metrics become one.
static uint64_t machine_digest(struct identity *d, const char *text, const char *const *overrides,
                               int n)
{
    bool is_new;
    const struct space *s = d->c->space;
    struct known *k = lookup(d, &d->machine, text, &is_new);
    if (!is_new)
        return k->digest;
    k->digest = digest_u64(DIGEST_INIT, s->n_machines > 1 ? 1 + (uint64_t)s->aggregate : 0);
    for (int i = 0; i < s->n_machines; i++)
        k->digest = digest_u64(
            k->digest,
            factory_digest(d->c->factories ? d->c->factories[i] : d->c->factory, overrides, n));
    return k->digest;
}

struct identity *identity_create(const struct evaluate_context *c)
{
    struct identity *d = calloc(1, sizeof *d);
    if (!d)
        abort();
    d->c = c;
    arena_init(&d->arena);
    const struct space *s = c->space;
    uint64_t b = digest_u64(digest_u64(DIGEST_INIT, (uint64_t)s->n_prompt), (uint64_t)s->n_gen);
    for (int i = 0; i < s->n_requests; i++) {
        b = digest_u64(digest_u64(b, (uint64_t)s->request[i].n_prompt),
                       (uint64_t)s->request[i].n_gen);
        b = digest_f64(b, s->request[i].weight);
    }
    b = digest_u64(b, c->model->digest);
    if (c->prompt) // values: what is generated depends on it
        b = digest_u64(digest_bytes(b, c->prompt, (size_t)s->n_prompt * sizeof *c->prompt),
                       c->seed);
    d->work = b;
    if (c->hardware)
        d->hardware = digest_u64(factory_digest(c->hardware, NULL, 0),
                                 c->hardware_model ? c->hardware_model->digest : 0);
    return d;
}

uint64_t identity_base(struct identity *d)
{
    return digest_u64(digest_u64(d->work, d->hardware), machine_digest(d, "", NULL, 0));
}

uint64_t identity_key(struct identity *d, const struct search_point *p,
                      const struct space_config *g, uint64_t *config)
{
    bool hardware = d->hardware && d->c->space->kind[p->level] == LEVEL_HARDWARE;
    uint64_t k = digest_u64(DIGEST_INIT, policy_digest(d, g->policy));
    k = digest_u64(k, sync_digest(d, g->sync));
    k = digest_u64(k,
                   hardware ? d->hardware : machine_digest(d, g->soc, g->override, g->n_overrides));
    *config = k;
    k = digest_u64(digest_str(k, code_version), d->work);
    return digest_str(k, g->level);
}

void identity_destroy(struct identity *d)
{
    if (!d)
        return;
    free(d->policy.slot);
    free(d->sync.slot);
    free(d->machine.slot);
    arena_fini(&d->arena);
    free(d);
}
