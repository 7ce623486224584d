// SPDX-License-Identifier: GPL-3.0-or-later
// What a join costs on this machine: from the end of a short task on one device to the begin of the
// next on the other (or the same), under every scheme that the machine offers and for every ordered
// pair of its devices. Schemes take turns within a pair, so that what the machine does meanwhile
// meets all of them.
//
//     bench_join [ROUNDS [GROUP.OPTION=VALUE ...]]
//
// 100 rounds of each; options are those of the host machine (cpu.threads=1, control_pin=[1]).
//
// Producer and consumer are additions, B += A and C += B, of small whole numbers: what C must be
// after so many rounds is known exactly, whichever devices do it. Its digest is printed per scheme
// and checked; a join that returned too early, or a result that was not visible, changes it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "bench/util.h"
#include "engine/host/host.h"
#include "engine/profile.h"

enum { WIDTH = 2048, TURNS = 5, MOST = 1000, SCHEMES = 16 };

static struct model model = {
    .shape = {.name = "join", .n_layer = 1, .n_head = 1, .n_head_kv = 1, .d_head = 64}};
static const struct op add = {.kind = OP_ADD,
                              .name = "add",
                              .m = WIDTH,
                              .k = WIDTH,
                              .in = BUF_T,
                              .in2 = BUF_NONE,
                              .out = BUF_X};
static struct err e;

struct scheme {
    const char *spec;
    const struct sync_ops *sync;
    const void *options;
    double ps[MOST]; // of the pair in hand
    int n;
    uint64_t digest; // of C after each pair
};
static struct scheme scheme[SCHEMES];
static int n_schemes;

static void add_scheme(const struct machine_desc *d, const char *spec, struct arena *a)
{
    struct scheme *s = &scheme[n_schemes];
    struct err why = {0};
    char text[640];
    bench_must(sync_parse(spec, a, &s->sync, &s->options, &e), &e);
    s->spec = spec;
    s->digest = DIGEST_INIT;
    if (s->sync->offered(d, s->options, &why) < 0)
        printf("%s: not offered: %s\n", spec, err_text(&why, text, sizeof text));
    else
        n_schemes++;
}

static struct task addition(struct buffer *in, struct buffer *out)
{
    return (struct task){
        .op = &add, .model = &model, .m1 = WIDTH, .n1 = 1, .graph = -1, .in = in, .out = out};
}

// The time of one task in a stream.
static double streamed(struct machine *m, int device, const struct task *t)
{
    double ps;
    struct task turn = *t;
    bool able;
    bench_must(profile_ready(m, device, &turn, 1, &able, &e), &e);
    if (!able)
        bench_must(m->device[device]->ops->supports(m->device[device], &turn, &e), &e);
    bench_must(profile_warm(m, device, &turn, 1, 1, &e), &e);
    bench_must(profile_streamed(m, device, &turn, 1, 3, &ps, &e), &e);
    return ps;
}

// Rounds of one scheme between one pair; the digest of C, checked against arithmetic.
static void rounds(struct machine *m, int from, int to, struct scheme *s, int count, bool check)
{
    struct buffer b[3]; // A, B, C
    for (int i = 0; i < 3; i++)
        bench_must(m->ops->alloc(m, 1, WIDTH * 4, &b[i], &e), &e);
    struct task t[2] = {addition(&b[0], &b[1]), addition(&b[1], &b[2])};
    struct profile_leg leg[2] = {{from, &t[0], streamed(m, from, &t[0])},
                                 {to, &t[1], streamed(m, to, &t[1])}};
    float *value[3] = {b[0].host, b[1].host, b[2].host};
    for (int i = 0; i < WIDTH; i++) {
        value[0][i] = (float)(1 + i % 7);
        value[1][i] = value[2][i] = 0;
    }
    int n;
    uint64_t before[2], after[2];
    struct device_stats st;
    const int device[2] = {from, to};
    for (int i = 0; i < 2; i++)
        m->device[device[i]]->ops->stats(m->device[device[i]], &st), before[i] = st.tasks;
    bench_must(profile_pair(m, &leg[0], &leg[1], s->sync, s->options, count, s->ps + s->n, &n, &e),
               &e);
    for (int i = 0; i < 2; i++)
        m->device[device[i]]->ops->stats(m->device[device[i]], &st), after[i] = st.tasks;
    s->n += n;
    double times = (double)(after[0] - before[0]) / (from == to ? 2 : 1); // with those not counted
    for (int i = 0; i < WIDTH && check; i++)
        if ((double)value[2][i] != (1 + i % 7) * times * (times + 1) / 2) {
            fprintf(stderr, "%s, %s to %s: value %d is %g after %g rounds\n", s->spec,
                    m->device[from]->caps.name, m->device[to]->caps.name, i, value[2][i], times);
            exit(1);
        }
    s->digest = digest_bytes(s->digest, value[2], WIDTH * sizeof(float));
    for (int i = 0; i < 3; i++)
        m->ops->free(m, &b[i]);
}

static void pair(struct machine *m, int from, int to, int count)
{
    const struct device_caps *a = &m->device[from]->caps, *b = &m->device[to]->caps;
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < n_schemes; i++) {
            scheme[i].n = turn ? scheme[i].n : 0;
            rounds(m, from, to, &scheme[i], count / TURNS, a->coherent && b->coherent);
        }
    for (int i = 0; i < n_schemes; i++) {
        struct scheme *s = &scheme[i];
        double median = profile_median(s->ps, s->n); // sorts
        printf("%-5s %-5s %-16s %8.1f %8.1f\n", a->name, b->name, s->spec, median / PS_PER_US,
               s->ps[s->n * 9 / 10] / PS_PER_US);
    }
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 100;
    struct arena arena;
    struct conf *c;
    struct machine *m;
    struct machine_desc d;
    if (count < TURNS || count > MOST) {
        fprintf(stderr, "bench_join: %d to %d rounds\n", TURNS, MOST);
        return 2;
    }
    arena_init(&arena);
    bench_must(conf_open_text("bench_join", "", &c, &e), &e);
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) {
            fprintf(stderr, "bench_join: expected OPTION=VALUE, found \"%s\"\n", argv[i]);
            return 2;
        }
        *value++ = 0;
        bench_must(conf_override(c, argv[i], value, &e), &e);
    }
    bench_must(machine_host_open(c, &m, &e), &e);
    conf_close(c);
    machine_describe(m, &d);
    for (int i = 0; i < d.n_devices; i++)
        printf("%s: %s\n", d.device[i].name, d.device[i].detail);
    for (size_t i = 0; i < sync_registry_count; i++)
        add_scheme(&d, sync_registry[i]->name, &arena);
    add_scheme(&d, "futex:spin=0 us", &arena);
    printf("from  to    scheme            median      p90   (us, end of a task to begin of the "
           "next; %d rounds)\n",
           count / TURNS * TURNS);
    for (int from = 0; from < d.n_devices; from++)
        for (int to = 0; to < d.n_devices; to++)
            pair(m, from, to, count);
    for (int i = 0; i < n_schemes; i++)
        printf("digest %016llx  %s\n", (unsigned long long)scheme[i].digest, scheme[i].spec);
    m->ops->close(m);
    arena_fini(&arena);
    return 0;
}
