// SPDX-License-Identifier: GPL-3.0-or-later
// Plans and timelines as JSON.
//
// A timeline shows two windows, each from its own zero: the first layers of the prefill, and one
// token in the middle of the decoding. Which slices belong to a layer nobody reports; the window is
// that share of the step's time, and a slice that reaches over its end is cut there.
#include <math.h>
#include <string.h>
#include "explore/report_internal.h"

enum { PREFILL_LAYERS = 3, MOST_SLICES = 6000, MOST_COUNTS = 6000 };

// --- plans

// Tokens count from `first`: an operator of the last token alone has one.
static void shard_json(struct json *j, const struct shard *s, int first)
{
    json_object_begin(j, NULL);
    json_i64(j, "device", s->device);
    json_i64(j, "m0", s->m0);
    json_i64(j, "m1", s->m1);
    json_i64(j, "n0", s->n0 - first);
    json_i64(j, "n1", s->n1 - first);
    if (s->n_pad)
        json_i64(j, "n_pad", s->n_pad);
    if (s->order != ORDER_WEIGHT_STREAMED)
        json_str(j, "order", order_name(s->order));
    json_object_end(j);
}

static void plan_json(struct json *j, const char *name, const struct plan *p, const struct graph *g,
                      const struct machine_desc *d)
{
    char text[96];
    json_object_begin(j, NULL);
    json_str(j, "phase", name);
    json_i64(j, "n_tokens", p->n_tokens);
    json_bool(j, "prepare_online", p->prepare_online);
    json_array_begin(j, "steps");
    for (int i = 0; i < p->n_steps; i++) {
        const struct plan_step *s = &p->step[i];
        json_object_begin(j, NULL);
        json_i64(j, "n0", s->n0);
        json_i64(j, "n1", s->n1);
        json_array_begin(j, "ops");
        for (int o = 0; o < g->n_ops; o++) {
            if (!s->op[o].n_shards)
                continue;
            json_object_begin(j, NULL);
            json_str(j, "name", g->op[o].name);
            json_str(j, "kind", op_kind_name(g->op[o].kind));
            json_bool(j, "block", o >= g->block_begin && o < g->block_end);
            json_i64(j, "m", g->op[o].m);
            json_i64(j, "n", g->op[o].last_only ? 1 : s->n1 - s->n0);
            json_str(j, "strategy",
                     plan_strategy(&s->op[o], &g->op[o], s->n1 - s->n0, d, PLAN_RATIO_PARTS, text,
                                   sizeof text));
            json_array_begin(j, "shards");
            for (int k = 0; k < s->op[o].n_shards; k++)
                shard_json(j, &s->op[o].shard[k], g->op[o].last_only ? s->n1 - s->n0 - 1 : 0);
            json_array_end(j);
            json_object_end(j);
        }
        json_array_end(j);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

// --- timelines

static int find_track(const struct trace_memory *t, const char *group, const char *name)
{
    for (size_t i = 0; i < t->n_tracks; i++)
        if (!strcmp(t->track[i].group, group) && !strcmp(t->track[i].name, name))
            return (int)i;
    return -1;
}

static double us(int64_t ps)
{
    return (double)ps / PS_PER_US;
}

static void slices_json(struct json *j, const struct trace_memory *t, int track, int64_t from,
                        int64_t to)
{
    int n = 0;
    json_array_begin(j, "slices");
    for (size_t i = 0; i < t->n_slices && n < MOST_SLICES; i++) {
        const struct trace_slice *s = &t->slice[i];
        if (s->track != track || s->end <= from || s->begin >= to)
            continue;
        json_array_begin(j, NULL);
        report_number(j, NULL, us((s->begin > from ? s->begin : from) - from));
        report_number(j, NULL, us((s->end < to ? s->end : to) - from));
        json_i64(j, NULL, s->name);
        json_array_end(j);
        n++;
    }
    json_array_end(j);
}

// The value that holds at the window's begin, and all changes in it.
static void counts_json(struct json *j, const struct trace_memory *t, int track, int64_t from,
                        int64_t to)
{
    double before = 0;
    int n = 0;
    size_t i = 0;
    for (; i < t->n_counters && t->counter[i].time <= from; i++)
        if (t->counter[i].track == track)
            before = t->counter[i].value;
    json_array_begin(j, "counts");
    report_number(j, NULL, 0);
    report_number(j, NULL, before);
    for (; i < t->n_counters && t->counter[i].time < to && n < MOST_COUNTS; i++)
        if (t->counter[i].track == track) {
            report_number(j, NULL, us(t->counter[i].time - from));
            report_number(j, NULL, t->counter[i].value);
            n++;
        }
    json_array_end(j);
}

static bool wanted(const struct trace_track *t)
{
    if (!t->unit)
        return !strcmp(t->group, "devices") || !strcmp(t->group, "control plane");
    return !strcmp(t->unit, "GB/s");
}

static void window_json(struct json *j, const struct trace_memory *t, const char *title,
                        int64_t from, int64_t to)
{
    json_object_begin(j, NULL);
    json_str(j, "title", title);
    report_number(j, "us", us(to - from));
    json_array_begin(j, "tracks");
    for (size_t k = 0; k < t->n_tracks; k++) {
        if (!wanted(&t->track[k]) || !strcmp(t->track[k].name, "steps"))
            continue;
        json_object_begin(j, NULL);
        json_str(j, "group", t->track[k].group);
        json_str(j, "name", t->track[k].name);
        if (t->track[k].unit) {
            json_str(j, "unit", t->track[k].unit);
            counts_json(j, t, (int)k, from, to);
        } else {
            slices_json(j, t, (int)k, from, to);
        }
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

// Steps are reported by the executor: the prefill's, then one per token.
static void timeline_json(struct json *j, const struct report_run *r)
{
    const struct trace_memory *t = &r->trace;
    const struct trace_slice *step[8] = {NULL};
    int track = find_track(t, "control plane", "steps"), n = 0;
    char title[96];
    for (size_t i = 0; i < t->n_slices && n < 8; i++)
        if (t->slice[i].track == track)
            step[n++] = &t->slice[i];
    const int prefill = r->plans.prefill.n_steps;
    if (!n || track < 0)
        return;
    json_object_begin(j, "timeline");
    json_array_begin(j, "names");
    for (size_t i = 0; i < t->n_names; i++)
        json_str(j, NULL, t->name[i]);
    json_array_end(j);
    json_array_begin(j, "windows");
    int layers = r->n_layer < PREFILL_LAYERS ? r->n_layer : PREFILL_LAYERS;
    int64_t whole = step[0]->end - step[0]->begin;
    snprintf(title, sizeof title, "Prefill: the first %d of %d layers", layers, r->n_layer);
    window_json(j, t, title, step[0]->begin, step[0]->begin + whole * layers / r->n_layer);
    int last = n - 1 >= prefill ? n - 1 : -1;
    if (last >= 0)
        window_json(j, t, "Decode: one token", step[last]->begin, step[last]->end);
    json_array_end(j);
    json_object_end(j);
}

static double known(double ms)
{
    return ms > 0 ? ms : (double)NAN;
}

static void optimum_json(struct json *j, const char *key, const struct optimum_times *t)
{
    json_object_begin(j, key);
    report_number(j, "prefill_ms", known(t->prefill_ms));
    report_number(j, "step_ms", known(t->step_ms));
    json_object_end(j);
}

void report_runs(struct json *j, const struct report_view *v)
{
    json_str(j, "no_runs", v->r->no_runs);
    json_array_begin(j, "runs");
    for (int i = 0; i < v->r->n_runs; i++) {
        const struct report_run *r = &v->r->run[i];
        json_object_begin(j, NULL);
        json_i64(j, "row", r->row);
        json_str(j, "failed", r->failed[0] ? r->failed : NULL);
        json_bool(j, "differs", r->differs);
        json_i64(j, "n_prompt", r->n_prompt);
        json_i64(j, "n_gen", r->n_gen);
        json_i64(j, "n_layer", r->n_layer);
        optimum_json(j, "optimum", &r->optimum);
        optimum_json(j, "predicted", &r->predicted);
        json_array_begin(j, "devices");
        for (int d = 0; r->plans_made && d < r->machine.n_devices; d++)
            json_str(j, NULL, r->machine.device[d].name);
        json_array_end(j);
        json_array_begin(j, "plans");
        if (r->plans_made) {
            plan_json(j, "prefill", &r->plans.prefill, &r->plans.prefill_graph, &r->machine);
            plan_json(j, "decode", &r->plans.decode, &r->plans.decode_graph, &r->machine);
        }
        json_array_end(j);
        if (r->traced && r->plans_made)
            timeline_json(j, r);
        json_object_end(j);
    }
    json_array_end(j);
}
