// SPDX-License-Identifier: GPL-3.0-or-later
// Building, printing and comparing plans. Everything here treats a plan as a value; whether it is a
// good or even a correct one is decided elsewhere (the policies, plan_check).
#include "engine/plan.h"

#include <assert.h>
#include <string.h>
#include "base/digest.h"

int plan_init(struct plan *p, const char *policy, int n_tokens)
{
    *p = (struct plan){.policy = policy, .n_tokens = n_tokens};
    arena_init(&p->arena);
    return 0;
}

void plan_fini(struct plan *p)
{
    arena_fini(&p->arena);
    *p = (struct plan){0};
}

// Arrays grow to the next power of two and are copied; what they leave behind dies with the plan.
static void *grown(struct arena *a, void *old, int n, size_t size)
{
    if (n && (n & (n - 1)))
        return old;
    void *p = arena_array(a, n ? (size_t)n * 2 : 1, size);
    return n ? memcpy(p, old, (size_t)n * size) : p;
}

struct plan_step *plan_add_step(struct plan *p, int n0, int n1)
{
    p->step = grown(&p->arena, p->step, p->n_steps, sizeof *p->step);
    struct plan_step *s = &p->step[p->n_steps++];
    *s = (struct plan_step){.n0 = n0, .n1 = n1};
    return s;
}

void plan_add_shard(struct plan *p, struct plan_step *s, int op, struct shard shard)
{
    struct plan_op *o = &s->op[op];
    o->shard = grown(&p->arena, o->shard, o->n_shards, sizeof *o->shard);
    o->shard[o->n_shards++] = shard;
}

void plan_whole(struct plan *p, struct plan_step *s, const struct op *op, int n_tokens, int device)
{
    plan_add_shard(
        p, s, op->index,
        (struct shard){
            .device = device, .m1 = op->m, .n0 = op->last_only ? n_tokens - 1 : 0, .n1 = n_tokens});
}

// In how many bits a shard of a matmul takes its activations.
static int activation_bits(const struct shard *h, const struct machine_desc *d, bool quantised)
{
    int n = h->n_pad ? h->n_pad : h->n1 - h->n0; // a device computes its padding, too
    enum activation_case c = !quantised ? ACTIVATION_PLAIN
                             : n > 1    ? ACTIVATION_MANY
                                        : ACTIVATION_ONE;
    return d->device[h->device].activation_bits[c];
}

int plan_activation_bits(const struct plan *p, const struct graph *g, const struct machine_desc *d)
{
    bool quantised = g->model->shape.weight_bits <= 8;
    int least = 0;
    for (int i = 0; i < p->n_steps; i++)
        for (int o = 0; o < g->n_ops; o++)
            for (int j = 0; g->op[o].kind == OP_MATMUL && j < p->step[i].op[o].n_shards; j++) {
                int bits = activation_bits(&p->step[i].op[o].shard[j], d, quantised);
                if (!bits)
                    return 0;
                least = !least || bits < least ? bits : least;
            }
    return least;
}

uint64_t plan_digest(const struct plan *p)
{
    uint64_t d = digest_u64(DIGEST_INIT, (uint64_t)p->n_tokens);
    d = digest_u64(d, p->prepare_online);
    for (int i = 0; i < p->n_steps; i++) {
        const struct plan_step *s = &p->step[i];
        d = digest_u64(digest_u64(d, (uint64_t)s->n0), (uint64_t)s->n1);
        for (int o = 0; o < GRAPH_MAX_OPS; o++)
            for (int j = 0; j < s->op[o].n_shards; j++) {
                const struct shard *h = &s->op[o].shard[j];
                const int v[] = {o, h->device, h->m0, h->m1, h->n0, h->n1, h->n_pad, (int)h->order};
                for (size_t k = 0; k < sizeof v / sizeof v[0]; k++)
                    d = digest_u64(d, (uint64_t)v[k]);
            }
    }
    return d;
}

static void print_shard(const struct shard *h, const struct op *op, int n_tokens,
                        const struct machine_desc *d, FILE *f)
{
    fprintf(f, " %s", d->device[h->device].name);
    if (h->m0 != 0 || h->m1 != op->m)
        fprintf(f, " rows[%d:%d]", h->m0, h->m1);
    if (!op->last_only && (h->n0 != 0 || h->n1 != n_tokens))
        fprintf(f, " tokens[%d:%d]", h->n0, h->n1);
    if (h->n_pad)
        fprintf(f, " graph=%d", h->n_pad);
    if (h->n_pad && op->kind == OP_MATMUL && d->device[h->device].orders)
        fprintf(f, " %s", order_name(h->order));
}

void plan_print(const struct plan *p, const struct graph *g, const struct machine_desc *d, FILE *f)
{
    char what[64];
    fprintf(f, "plan %s: %d tokens in %d step%s%s\n", p->policy, p->n_tokens, p->n_steps,
            p->n_steps == 1 ? "" : "s", p->prepare_online ? ", graphs prepared at run time" : "");
    for (int i = 0; i < p->n_steps; i++) {
        const struct plan_step *s = &p->step[i];
        int n = s->n1 - s->n0;
        if (p->n_steps > 1)
            fprintf(f, " step %d: tokens [%d:%d]\n", i, s->n0, s->n1);
        for (int o = 0; o < g->n_ops; o++) {
            const struct plan_op *po = &s->op[o];
            fprintf(f, "  %-10s %-34s", g->op[o].name,
                    plan_strategy(po, &g->op[o], n, d, PLAN_RATIO_PARTS, what, sizeof what));
            for (int j = 0; j < po->n_shards; j++) {
                fprintf(f, "%s", j ? "," : "");
                print_shard(&po->shard[j], &g->op[o], n, d, f);
            }
            fputc('\n', f);
        }
    }
}

// Writes a share as the nearest ratio of small whole numbers, as the paper does (1:1, 3:1, 2:3).
static void ratio_text(double part, int parts, char *buf, size_t size)
{
    int best_a = 1, best_b = 1;
    double best = 2;
    for (int sum = 2; sum <= parts; sum++)
        for (int a = 1; a < sum; a++) {
            double miss = part - (double)a / sum;
            miss = miss < 0 ? -miss : miss;
            if (miss < best - 1e-3) {
                best = miss;
                best_a = a;
                best_b = sum - a;
            }
        }
    snprintf(buf, size, "%d:%d", best_a, best_b);
}

const char *plan_strategy(const struct plan_op *po, const struct op *op, int n_tokens,
                          const struct machine_desc *d, int parts, char *buf, size_t size)
{
    double work[MACHINE_MAX_DEVICES] = {0}, first = 0, total = 0;
    bool rows = false, padded = false, one = true, dynamic = false;
    int standard = 0, n = op->last_only ? 1 : n_tokens;
    for (int j = 0; j < po->n_shards; j++) {
        const struct shard *h = &po->shard[j];
        double w = (double)(h->m1 - h->m0) * (h->n1 - h->n0);
        work[h->device] += w;
        total += w;
        rows |= h->m0 != 0 || h->m1 != op->m;
        padded |= h->n_pad > h->n1 - h->n0;
        one &= h->device == po->shard[0].device;
        dynamic |= !h->n_pad;
        standard += h->n_pad;
    }
    if (!po->n_shards) {
        snprintf(buf, size, "nobody");
        return buf;
    }
    bool tokens = false;
    for (int j = 0; j < po->n_shards; j++)
        tokens |= po->shard[j].n1 - po->shard[j].n0 != n;
    if (one) {
        snprintf(buf, size, "%s-only%s", d->device[po->shard[0].device].name,
                 padded ? ", padded" : "");
        return buf;
    }
    char ratio[24];
    first = d->gpu >= 0 && work[d->gpu] > 0 ? work[d->gpu] : work[po->shard[0].device];
    ratio_text(first / total, parts, ratio, sizeof ratio);
    if (rows && (tokens || padded))
        snprintf(buf, size, "hybrid %s", ratio);
    else if (rows)
        snprintf(buf, size, "weight-centric %s", ratio);
    else if (dynamic)
        snprintf(buf, size, "activation-centric dynamic:%d", standard);
    else
        snprintf(buf, size, "activation-centric %d", standard);
    return buf;
}

int plan_diff(const struct plan *a, const struct plan *b, const struct graph *g,
              const struct machine_desc *d, FILE *f)
{
    int n = 0;
    if (a->n_steps != b->n_steps) {
        fprintf(f, "steps: %d against %d\n", a->n_steps, b->n_steps);
        n++;
    }
    if (a->prepare_online != b->prepare_online) {
        fprintf(f, "graph preparation: %s against %s\n", a->prepare_online ? "online" : "ahead",
                b->prepare_online ? "online" : "ahead");
        n++;
    }
    for (int i = 0; i < a->n_steps && i < b->n_steps; i++)
        for (int o = 0; o < g->n_ops; o++) {
            const struct plan_op *x = &a->step[i].op[o], *y = &b->step[i].op[o];
            char tx[64], ty[64];
            bool same = x->n_shards == y->n_shards;
            for (int j = 0; same && j < x->n_shards; j++) {
                const struct shard *p = &x->shard[j], *q = &y->shard[j];
                same = p->device == q->device && p->m0 == q->m0 && p->m1 == q->m1 &&
                       p->n0 == q->n0 && p->n1 == q->n1 && p->n_pad == q->n_pad &&
                       p->order == q->order;
            }
            if (same)
                continue;
            n++;
            int nx = a->step[i].n1 - a->step[i].n0, ny = b->step[i].n1 - b->step[i].n0;
            fprintf(f, "step %d %s: %s against %s\n", i, g->op[o].name,
                    plan_strategy(x, &g->op[o], nx, d, PLAN_RATIO_PARTS, tx, sizeof tx),
                    plan_strategy(y, &g->op[o], ny, d, PLAN_RATIO_PARTS, ty, sizeof ty));
        }
    return n;
}
