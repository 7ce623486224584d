// SPDX-License-Identifier: GPL-3.0-or-later
// What a benchmark measures. pp N is the time from the first submission of a prompt of N tokens to
// its next token (TTFT); tg N is the time of N steps of one token each, after a prompt of one token
// that is not counted. Both are whole sessions, so that a rate here is the rate that `run`, `sim`
// and `validate` report, and the digests are theirs.
//
// The configurations take turns (A B C A B C ..), so that drift of the machine (clocks, heat, other
// load) hits all alike; one round warms up and is not counted. A machine with a virtual clock needs
// neither. Policies plan with one cost table, for the longest of the tests.
//
// Invariant: a row holds complete runs only; what a stop interrupted is not in it.
#include "cli/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/explore.h"
#include "engine/profile.h"

// sleep_poll sleeps for as long as the plan predicts, so it hardly shows a speed above the
// prediction. On hardware that would measure the profile (one taken on a busy machine is slow); in
// simulation the two agree, and sleep_poll is what every other command assumes.
enum { USUAL = 2 };
static const char *const usual_hardware[USUAL] = {"event", "driver"};
static const char *const usual_simulated[USUAL] = {"sleep_poll", "driver"};

// One policy under one scheme, ready to run.
struct configuration {
    const struct policy_ops *policy;
    const void *policy_options;
    const struct sync_ops *sync;
    const void *sync_options;
    struct cost_overheads overheads; // of the scheme
};

struct bench {
    const struct bench_request *q;
    struct bench_result *out;
    struct machine *machine;
    struct cost_table *cost;
    struct configuration *conf;  // [n_rows]
    int32_t *prompt;             // [longest]; NULL without values
    int longest_prompt, longest; // tokens of the prompts; of prompt and generation
    int done, total;
};

const char *bench_test_name(struct bench_test t, char buf[24])
{
    snprintf(buf, 24, "%s%d", t.n_prompt ? "pp" : "tg", t.n_prompt ? t.n_prompt : t.n_gen);
    return buf;
}

// The CPU device says so in its description ("avx2, 2 threads").
static int threads_of(const char *detail)
{
    const char *end = strstr(detail, " thread"), *p = end;
    while (p && p > detail && p[-1] >= '0' && p[-1] <= '9')
        p--;
    return p && p < end ? atoi(p) : 0;
}

static void describe(struct bench *b, const struct machine_desc *d)
{
    struct bench_result *out = b->out;
    snprintf(out->machine, sizeof out->machine, "%s", b->machine->name);
    out->repeatable = b->machine->repeatable;
    out->repeats = b->q->repeats ? b->q->repeats : out->repeatable ? 1 : 5;
    out->n_devices = d->n_devices;
    for (int i = 0; i < d->n_devices; i++) {
        const struct device_caps *c = &d->device[i];
        snprintf(out->device[i], sizeof out->device[i], "%s", c->name);
        snprintf(out->detail[i], sizeof out->detail[i], "%s", c->detail ? c->detail : "");
        if (i == d->cpu)
            out->threads = threads_of(out->detail[i]);
    }
}

// --- what is compared

static int choose_policies(const struct bench_request *q, const struct machine_desc *d,
                           const char **policy)
{
    int n = 0;
    for (; n < q->n_policies; n++)
        policy[n] = q->policy[n];
    if (n)
        return n;
    if (d->cpu >= 0)
        policy[n++] = "cpu_only";
    if (d->gpu >= 0)
        policy[n++] = "gpu_only";
    if (d->npu >= 0)
        policy[n++] = "npu_only";
    if (d->npu >= 0 && (d->gpu >= 0 || d->cpu >= 0))
        policy[n++] = "hetero_tensor";
    return n;
}

// Schemes that the machine offers; the others are noted, with the reason.
static int choose_syncs(struct bench *b, const struct machine_desc *d, const char **sync,
                        struct err *e)
{
    const struct bench_request *q = b->q;
    struct bench_result *out = b->out;
    const char *const *usual = out->repeatable ? usual_simulated : usual_hardware;
    const char *const *name = q->n_syncs ? q->sync : usual;
    const int names = q->n_syncs ? q->n_syncs : USUAL;
    int n = 0;
    for (int i = 0; i < names && (q->n_syncs || n < 1); i++) {
        const struct sync_ops *ops;
        const void *options;
        struct err why = {0};
        if (sync_parse(name[i], &out->arena, &ops, &options, e) < 0)
            return e->code;
        if (ops->offered(d, options, &why) >= 0) {
            sync[n++] = name[i];
            continue;
        }
        struct bench_skip *s = &out->skip[out->n_skips++];
        s->sync = name[i];
        err_text(&why, s->reason, sizeof s->reason);
    }
    return n;
}

static void make_rows(struct bench *b, const char *const *policy, int n_policies,
                      const char *const *sync, int n_syncs)
{
    const struct bench_request *q = b->q;
    struct bench_result *out = b->out;
    int n = n_policies * n_syncs * q->n_tests;
    out->row = ARENA_NEWS(&out->arena, (size_t)n, struct bench_row);
    b->conf = ARENA_NEWS(&out->arena, (size_t)n, struct configuration);
    for (int p = 0; p < n_policies; p++)
        for (int s = 0; s < n_syncs; s++)
            for (int t = 0; t < q->n_tests; t++)
                out->row[out->n_rows++] = (struct bench_row){
                    .policy = policy[p],
                    .sync = sync[s],
                    .test = q->test[t],
                    .rate = ARENA_NEWS(&out->arena, (size_t)out->repeats, double),
                    .predicted = NAN,
                    .same = true};
}

static int parse_rows(struct bench *b, struct err *e)
{
    for (int i = 0; i < b->out->n_rows; i++) {
        const struct bench_row *r = &b->out->row[i];
        struct configuration *c = &b->conf[i];
        if (policy_parse(r->policy, &b->out->arena, &c->policy, &c->policy_options, e) < 0 ||
            sync_parse(r->sync, &b->out->arena, &c->sync, &c->sync_options, e) < 0)
            return e->code;
    }
    return 0;
}

// --- profiling

static void show(struct bench *b, const char *what)
{
    if (b->q->progress)
        b->q->progress(what, b->done, b->total);
}

// Every scheme once; rows with the same one share what was measured.
static int profile_schemes(struct bench *b, struct machine *m, struct err *e)
{
    for (int i = 0; i < b->out->n_rows; i++) {
        struct configuration *c = &b->conf[i];
        int j = 0;
        while (strcmp(b->out->row[j].sync, b->out->row[i].sync) != 0)
            j++;
        if (j == i) {
            if (profile_sync(m, b->q->model, c->sync, c->sync_options, b->longest_prompt, b->cost,
                             e) < 0)
                return e->code;
            c->overheads = *cost_overheads(b->cost);
        }
        c->overheads = b->conf[j].overheads;
    }
    return 0;
}

static int profile(struct bench *b, struct err *e)
{
    struct machine *twin, *m;
    if (cli_twin_open(b->q->factory, b->machine, &twin, e) < 0)
        return e->code;
    show(b, "profiling the machine");
    m = twin ? twin : b->machine;
    int rc = session_profile(m, b->q->model, b->longest_prompt, b->longest - b->longest_prompt,
                             b->cost, e);
    if (rc >= 0)
        rc = profile_schemes(b, m, e);
    if (twin)
        twin->ops->close(twin);
    return rc;
}

// --- running

static int on_token(void *user, int32_t id)
{
    (void)user, (void)id;
    return cli_stop;
}

static void keep(struct bench_row *row, const struct session_result *r, int round)
{
    const bool prompt = row->test.n_prompt > 0;
    double ms = prompt ? r->predicted_prefill_ms : r->predicted_decode_ms;
    row->predicted = (prompt ? row->test.n_prompt : 1) / ms * 1e3;
    if (round < 0)
        return;
    if (row->n == 0) {
        row->digest = r->digest;
        row->logits = r->logits_digest;
    }
    row->same &= row->digest == r->digest && row->logits == r->logits_digest;
    row->rate[row->n++] = prompt ? r->prefill_tok_s : r->decode_tok_s;
}

// One run of a row; round -1 warms up.
static void run(struct bench *b, int i, int round)
{
    struct bench_row *row = &b->out->row[i];
    const struct configuration *c = &b->conf[i];
    const struct session_request s = {.machine = b->machine,
                                      .model = b->q->model,
                                      .policy = c->policy,
                                      .policy_options = c->policy_options,
                                      .sync = c->sync,
                                      .sync_options = c->sync_options,
                                      .cost = b->cost,
                                      .prompt = b->prompt,
                                      .n_prompt = row->test.n_prompt ? row->test.n_prompt : 1,
                                      .n_gen = row->test.n_gen + 1,
                                      .sampler = {.top_p = 1, .seed = b->q->seed},
                                      .on_token = on_token};
    struct session_result r;
    struct err e = {0};
    *cost_overheads(b->cost) = c->overheads;
    if (session_run(&s, &r, &e) < 0) {
        err_text(&e, row->reason, sizeof row->reason);
        if (e.code == ERR_DEVICE && b->q->on_loss == SESSION_STOP)
            b->out->lost = e;
        return;
    }
    if (r.n_gen == s.n_gen)
        keep(row, &r, round);
    session_result_fini(&r);
}

static void run_all(struct bench *b)
{
    struct bench_result *out = b->out;
    const int first = out->repeatable ? 0 : -1;
    char name[24], what[400];
    b->total = out->n_rows * (out->repeats - first);
    cli_catch_stop(); // until here there was nothing to keep
    for (int round = first; round < out->repeats; round++)
        for (int i = 0; i < out->n_rows; i++) {
            const struct bench_row *row = &out->row[i];
            if (cli_stop || out->lost.code)
                return;
            snprintf(what, sizeof what, "%.180s, %.180s, %s", row->policy, row->sync,
                     bench_test_name(row->test, name));
            b->done++;
            show(b, what);
            if (!*row->reason)
                run(b, i, round);
        }
}

static void summarise(struct bench_row *r, bool repeatable, struct arena *a)
{
    double sum = 0, squares = 0;
    r->mean = r->stddev = r->median = NAN;
    if (!r->n)
        return;
    for (int i = 0; i < r->n; i++)
        sum += r->rate[i];
    r->mean = sum / r->n;
    for (int i = 0; i < r->n; i++)
        squares += (r->rate[i] - r->mean) * (r->rate[i] - r->mean);
    r->stddev = r->n > 1 ? sqrt(squares / (r->n - 1)) : repeatable ? 0 : (double)NAN;
    double *sorted = ARENA_NEWS(a, (size_t)r->n, double);
    memcpy(sorted, r->rate, (size_t)r->n * sizeof *sorted);
    profile_median(sorted, r->n); // orders them
    r->median = (sorted[(r->n - 1) / 2] + sorted[r->n / 2]) / 2;
}

static void size_up(struct bench *b)
{
    b->longest_prompt = b->longest = 1;
    for (int i = 0; i < b->q->n_tests; i++) {
        const struct bench_test *t = &b->q->test[i];
        int all = (t->n_prompt ? t->n_prompt : 1) + t->n_gen + 1;
        b->longest_prompt = t->n_prompt > b->longest_prompt ? t->n_prompt : b->longest_prompt;
        b->longest = all > b->longest ? all : b->longest;
    }
}

// Any tokens will do.
static void make_prompt(struct bench *b)
{
    if (!b->machine->values)
        return;
    b->prompt = ARENA_NEWS(&b->out->arena, (size_t)b->longest_prompt, int32_t);
    for (int i = 0; i < b->longest_prompt; i++)
        b->prompt[i] = i % b->q->model->shape.n_vocab;
}

static int prepare(struct bench *b, struct err *e)
{
    const char *policy[BENCH_MAX_SPECS], *sync[BENCH_MAX_SPECS];
    struct machine_desc d;
    if (cli_machine_open(b->q->factory, &b->machine, e) < 0)
        return e->code;
    machine_describe(b->machine, &d);
    describe(b, &d);
    int n_policies = choose_policies(b->q, &d, policy);
    int n_syncs = choose_syncs(b, &d, sync, e);
    if (n_syncs < 0)
        return n_syncs;
    if (!n_syncs)
        return err_set(e, ERR_UNSUPPORTED, "%s offers none of these schemes; %s: %s",
                       b->machine->name, b->out->skip[0].sync, b->out->skip[0].reason);
    make_rows(b, policy, n_policies, sync, n_syncs);
    size_up(b);
    make_prompt(b);
    if (parse_rows(b, e) < 0)
        return e->code;
    return profile(b, e);
}

int bench_run(const struct bench_request *q, struct bench_result *out, struct err *e)
{
    struct bench b = {.q = q, .out = out, .cost = cost_create()};
    *out = (struct bench_result){0};
    arena_init(&out->arena);
    int rc = prepare(&b, e);
    if (rc >= 0) {
        run_all(&b);
        for (int i = 0; i < out->n_rows; i++)
            summarise(&out->row[i], out->repeatable, &out->arena);
    }
    if (b.machine)
        b.machine->ops->close(b.machine);
    cost_destroy(b.cost);
    if (rc < 0)
        bench_result_fini(out);
    return rc < 0 ? rc : 0;
}

void bench_result_fini(struct bench_result *r)
{
    arena_fini(&r->arena);
    *r = (struct bench_result){0};
}
