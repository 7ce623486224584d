// SPDX-License-Identifier: GPL-3.0-or-later
// Metrics: their names, and how those of several requests or machines become one.
//
// Requests: a metric of the workload is what a user of it sees per request (times, energy, bytes,
// frames: the mean by weight), per token (TPOT: the mean by tokens, so that a long answer counts
// for every token of it), or what the device must have (memory, prepared graphs: the most of any
// request). Rates are tokens over time, never means of rates.
//
// Machines: the geometric mean weighs ratios alike, so that a slow SoC does not outvote a fast one
// and no choice of a reference matters; counts that may be 0 take the arithmetic mean. The worst is
// taken of each metric by itself. Memory is the most, activation bits the least, in both.
#include "explore/metrics.h"

#include <math.h>
#include <string.h>
#include "base/digest.h"

const struct metric_row metric_rows[METRIC_COUNT] = {
    [METRIC_TTFT] = {"ttft_ms", "TTFT", "ms", true, false, MEAN_REQUEST, UNIT_TIME, 1e9},
    [METRIC_TPOT] = {"tpot_ms", "TPOT", "ms", true, false, MEAN_TOKEN, UNIT_TIME, 1e9},
    [METRIC_PREFILL_RATE] = {"prefill_tok_s", "prefill rate", "tok/s", true, true, MEAN_RATE,
                             UNIT_NONE, 1},
    [METRIC_DECODE_RATE] = {"decode_tok_s", "decode rate", "tok/s", true, true, MEAN_RATE,
                            UNIT_NONE, 1},
    [METRIC_TOTAL] = {"total_ms", "total time", "ms", true, false, MEAN_REQUEST, UNIT_TIME, 1e9},
    [METRIC_ENERGY] = {"energy_j", "energy", "J", true, false, MEAN_REQUEST, UNIT_ENERGY, 1},
    [METRIC_POWER_PREFILL] = {"power_prefill_w", "prefill power", "W", true, false, MEAN_PREFILL,
                              UNIT_POWER, 1},
    [METRIC_BYTES_MOVED] = {"bytes_moved", "memory traffic", "bytes", true, false, MEAN_REQUEST,
                            UNIT_SIZE, 1},
    [METRIC_MEMORY] = {"memory_bytes", "memory", "bytes", true, false, MEAN_MOST, UNIT_SIZE, 1},
    [METRIC_PREPARE] = {"prepare_ms", "graph preparation", "ms", true, false, MEAN_MOST, UNIT_TIME,
                        1e9},
    [METRIC_PREDICTED_PREFILL] = {"predicted_prefill_ms", "predicted prefill", "ms", false, false,
                                  MEAN_REQUEST, UNIT_TIME, 1e9},
    [METRIC_PREDICTED_DECODE] = {"predicted_decode_ms", "predicted step", "ms", false, false,
                                 MEAN_TOKEN, UNIT_TIME, 1e9},
    [METRIC_FPS_PREFILL] = {"fps_prefill", "game in prefill", "frames/s", false, true, MEAN_PREFILL,
                            UNIT_NONE, 1},
    [METRIC_FPS_DECODE] = {"fps_decode", "game in decode", "frames/s", false, true, MEAN_DECODE,
                           UNIT_NONE, 1},
    [METRIC_FRAMES_DROPPED] = {"frames_dropped", "frames dropped", "frames", true, false,
                               MEAN_COUNT, UNIT_NONE, 1},
    [METRIC_ACTIVATION_BITS] = {"activation_bits", "activations", "bits", false, true, MEAN_LEAST,
                                UNIT_NONE, 1},
};

int metric_find(const char *name)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        if (!strcmp(name, metric_rows[i].name))
            return i;
    return -1;
}

double metric_objective(enum metric m, double value)
{
    return metric_rows[m].rate ? 1 / value : value;
}

const char *metrics_status_name(enum metrics_status s)
{
    static const char *const name[] = {"ok", "infeasible", "crashed", "hung"};
    return name[s];
}

bool metrics_feasible(const struct metrics *m)
{
    return m->status == METRICS_OK && !(m->violation > 0);
}

void metrics_init(struct metrics *m, enum metrics_status status)
{
    // The struct goes through pipes whole; no byte of it may be undefined.
    memset(m, 0, sizeof *m);
    m->status = status;
    for (int i = 0; i < METRIC_COUNT; i++)
        m->value[i] = NAN;
}

void metrics_from(struct metrics *m, const struct session_result *r)
{
    metrics_init(m, METRICS_OK);
    m->digest = r->digest;
    m->plan_prefill = r->plan_prefill;
    m->plan_decode = r->plan_decode;
    m->value[METRIC_TTFT] = r->ttft_ms;
    m->value[METRIC_TPOT] = r->tpot_ms;
    m->value[METRIC_PREFILL_RATE] = r->prefill_tok_s;
    m->value[METRIC_DECODE_RATE] = r->decode_tok_s;
    m->value[METRIC_TOTAL] = r->total_ms;
    m->value[METRIC_ENERGY] = r->energy_j;
    m->value[METRIC_POWER_PREFILL] = r->power_prefill_w;
    m->value[METRIC_BYTES_MOVED] = r->bytes_moved;
    m->value[METRIC_MEMORY] = r->memory_bytes;
    m->value[METRIC_PREPARE] = r->prepare_ms;
    m->value[METRIC_PREDICTED_PREFILL] = r->predicted_prefill_ms;
    m->value[METRIC_PREDICTED_DECODE] = r->predicted_decode_ms;
    m->value[METRIC_FPS_PREFILL] = r->frames_prefill.rate;
    m->value[METRIC_FPS_DECODE] = r->frames_decode.rate;
    if (r->activation_bits)
        m->value[METRIC_ACTIVATION_BITS] = r->activation_bits;
    if (r->frame_rate > 0)
        m->value[METRIC_FRAMES_DROPPED] =
            (double)(r->frames_prefill.dropped + r->frames_decode.dropped);
}

uint64_t metrics_digest(uint64_t d, const struct metrics *m)
{
    d = digest_u64(d, m->status);
    for (int i = 0; i < METRIC_COUNT; i++) // one NaN for all NaNs: their bits differ by compiler
        d = isnan(m->value[i]) ? digest_str(d, "nan") : digest_f64(d, m->value[i]);
    return digest_u64(d, m->digest);
}

bool metric_estimated(enum metric m)
{
    switch (m) {
    case METRIC_TTFT:
    case METRIC_TPOT:
    case METRIC_PREFILL_RATE:
    case METRIC_DECODE_RATE:
    case METRIC_TOTAL:
    case METRIC_PREDICTED_PREFILL:
    case METRIC_PREDICTED_DECODE:
    case METRIC_ACTIVATION_BITS:
        return true;
    default:
        return false;
    }
}

void metrics_estimate(struct metrics *m, int n_prompt, int n_gen)
{
    double *v = m->value;
    v[METRIC_TTFT] = v[METRIC_PREDICTED_PREFILL];
    v[METRIC_TPOT] = n_gen > 1 ? v[METRIC_PREDICTED_DECODE] : (double)NAN;
    v[METRIC_TOTAL] = v[METRIC_TTFT] + (n_gen > 1 ? (n_gen - 1) * v[METRIC_TPOT] : 0);
    v[METRIC_PREFILL_RATE] = n_prompt / v[METRIC_TTFT] * 1e3;
    v[METRIC_DECODE_RATE] = 1e3 / v[METRIC_TPOT];
}

// --- several requests

// By what a request counts in the mean of a metric.
static double share(enum metric_mean mean, const struct metrics *m, const struct space_request *r)
{
    const double *v = m->value;
    switch (mean) {
    case MEAN_TOKEN:
        return r->weight * (r->n_gen - 1);
    case MEAN_PREFILL:
        return r->weight * v[METRIC_TTFT];
    case MEAN_DECODE:
        return r->weight * (v[METRIC_TOTAL] - v[METRIC_TTFT]);
    default:
        return r->weight;
    }
}

static bool better(double a, double b, bool most)
{
    return isnan(b) || (most ? a > b : a < b);
}

// Mean of the requests that count and know the metric; NaN when there is none.
static double of_requests(const struct metrics *m, const struct space_request *r, int n, int metric)
{
    enum metric_mean mean = metric_rows[metric].mean;
    double sum = 0, shares = 0, extreme = NAN;
    for (int i = 0; i < n; i++) {
        double v = m[i].value[metric], s = share(mean, &m[i], &r[i]);
        if (isnan(v))
            continue;
        extreme = better(v, extreme, mean == MEAN_MOST) ? v : extreme;
        sum += s > 0 ? s * v : 0;
        shares += s > 0 ? s : 0;
    }
    if (mean == MEAN_MOST || mean == MEAN_LEAST)
        return extreme;
    return shares > 0 ? sum / shares : (double)NAN;
}

void metrics_of_requests(const struct metrics *m, const struct space_request *r, int n,
                         struct metrics *out)
{
    double prompt = 0;
    *out = m[0];
    if (n == 1)
        return;
    for (int i = 0; i < METRIC_COUNT; i++)
        out->value[i] = of_requests(m, r, n, i);
    out->plan_prefill = out->plan_decode = out->digest = DIGEST_INIT;
    out->wall_s = 0;
    for (int i = 0; i < n; i++) {
        prompt += r[i].weight * r[i].n_prompt;
        out->plan_prefill = digest_u64(out->plan_prefill, m[i].plan_prefill);
        out->plan_decode = digest_u64(out->plan_decode, m[i].plan_decode);
        out->digest = digest_u64(out->digest, m[i].digest);
        out->wall_s += m[i].wall_s;
    }
    out->value[METRIC_PREFILL_RATE] = prompt / out->value[METRIC_TTFT] * 1e3;
    out->value[METRIC_DECODE_RATE] = 1e3 / out->value[METRIC_TPOT];
}

// --- several machines

static double of_machines(const struct metrics *m, int n, enum metrics_aggregate how, int metric)
{
    const struct metric_row *row = &metric_rows[metric];
    double sum = 0, logs = 0, extreme = NAN;
    bool most = row->mean == MEAN_MOST || (row->mean != MEAN_LEAST && !row->rate);
    bool zero = row->mean == MEAN_COUNT;
    int known = 0;
    for (int i = 0; i < n; i++) {
        double v = m[i].value[metric];
        if (isnan(v))
            continue;
        extreme = better(v, extreme, most) ? v : extreme;
        zero |= !(v > 0);
        sum += v;
        logs += zero ? 0 : log(v);
        known++;
    }
    if (!known || how == AGGREGATE_WORST || row->mean == MEAN_MOST || row->mean == MEAN_LEAST)
        return extreme;
    return zero ? sum / known : exp(logs / known);
}

void metrics_of_machines(const struct metrics *m, int n, enum metrics_aggregate how,
                         struct metrics *out)
{
    *out = m[0];
    if (n == 1)
        return;
    for (int i = 0; i < METRIC_COUNT; i++)
        out->value[i] = of_machines(m, n, how, i);
    out->plan_prefill = out->plan_decode = out->digest = DIGEST_INIT;
    out->wall_s = 0;
    out->n_machines = n;
    for (int i = 0; i < n; i++) {
        memcpy(out->by_machine[i], m[i].value, sizeof out->by_machine[i]);
        out->plan_prefill = digest_u64(out->plan_prefill, m[i].plan_prefill);
        out->plan_decode = digest_u64(out->plan_decode, m[i].plan_decode);
        out->digest = digest_u64(out->digest, m[i].digest);
        out->wall_s += m[i].wall_s;
    }
}
