// SPDX-License-Identifier: GPL-3.0-or-later
// Writing a trace of a million slices, with the counters and flows that a real one has: what a
// simulated session of Llama-3-8B with 900 tokens reports is collected first and then written, so
// that only the writing is timed. Goals: Perfetto in 2 s of CPU time and 45 MB.
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/trace_file.h"
#include "base/trace_memory.h"
#include "engine/profile.h"
#include "engine/session.h"
#include "models/soc/soc.h"

enum { SLICES = 1000000, PROMPT = 256, GEN = 900 };

static void must(int rc, const struct err *e)
{
    char text[700];
    if (rc >= 0)
        return;
    fprintf(stderr, "bench_trace: %s\n", err_text(e, text, sizeof text));
    exit(1);
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void simulate(const struct trace_sink *sink)
{
    struct err e = {0};
    struct conf *c;
    struct model *model;
    struct arena arena;
    struct session_request q = {.n_prompt = PROMPT, .n_gen = GEN, .sampler = {.top_p = 1}};
    struct cost_table *cost = cost_create();
    struct session_result r;
    arena_init(&arena);
    must(model_open("configs/model/llama3-8b.cfg", &model, &e), &e);
    must(conf_open("configs/soc/sd8gen3.cfg", &c, &e), &e);
    must(machine_soc_open(c, false, &q.machine, &e), &e);
    conf_close(c);
    must(policy_parse("hetero_tensor", &arena, &q.policy, &q.policy_options, &e), &e);
    must(sync_parse("sleep_poll", &arena, &q.sync, &q.sync_options, &e), &e);
    must(session_profile(q.machine, model, PROMPT, GEN, cost, &e), &e);
    must(profile_sync(q.machine, model, q.sync, q.sync_options, 1, cost, &e), &e);
    q.model = model;
    q.cost = cost;
    q.trace = sink;
    must(session_run(&q, &r, &e), &e);
    session_result_fini(&r);
    q.machine->ops->close(q.machine);
    model_close(model);
    cost_destroy(cost);
    arena_fini(&arena);
}

// Reports the first million slices as they were reported, and the counters between them.
static void replay(const struct trace_memory *t, size_t slices, const struct trace_sink *to)
{
    int *track = calloc(t->n_tracks, sizeof *track);
    size_t c = 0, f = 0;
    for (size_t i = 0; i < t->n_tracks; i++)
        track[i] = trace_track(to, t->track[i].group, t->track[i].name, t->track[i].unit);
    for (size_t i = 0; i < slices; i++) {
        const struct trace_slice *s = &t->slice[i];
        for (; c < t->n_counters && t->counter[c].time <= s->end; c++)
            trace_counter(to, track[t->counter[c].track], t->counter[c].time, t->counter[c].value);
        for (; f * t->n_slices < i * t->n_flows; f++)
            trace_flow(to, t->flow[f].from, t->flow[f].to);
        trace_slice(to, track[s->track], t->name[s->name], s->begin, s->end, s->id);
    }
    printf("%zu slices, %zu counters, %zu flows, %zu names, %zu tracks\n", slices, c, f, t->n_names,
           t->n_tracks);
    free(track);
}

static void write_trace(const struct trace_memory *t, size_t slices, const char *path)
{
    struct err e = {0};
    struct trace_file *out;
    struct stat st;
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
    must(trace_file_open(path, "bench", &out, &e), &e);
    replay(t, slices, trace_file_sink(out));
    must(trace_file_close(out, 0, &e), &e);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = now(CLOCK_MONOTONIC) - wall;
    must(stat(path, &st) == 0 ? 0 : err_set(&e, ERR_IO, "no file"), &e);
    printf("%s: %.0f ms of CPU time, %.0f ms until it is on disk, %.1f MB\n", path, cpu * 1e3,
           wall * 1e3, (double)st.st_size / 1e6);
    unlink(path);
}

int main(void)
{
    struct trace_memory t;
    trace_memory_init(&t);
    double begin = now(CLOCK_PROCESS_CPUTIME_ID);
    simulate(&t.sink);
    printf("session: %.0f ms of CPU time, %zu slices\n",
           (now(CLOCK_PROCESS_CPUTIME_ID) - begin) * 1e3, t.n_slices);
    size_t n = t.n_slices < SLICES ? t.n_slices : SLICES;
    write_trace(&t, n, "bench.pftrace");
    write_trace(&t, n, "bench.json");
    trace_memory_fini(&t);
    return n < SLICES;
}
