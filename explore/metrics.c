// SPDX-License-Identifier: GPL-3.0-or-later
#include "explore/metrics.h"

#include <math.h>
#include <string.h>
#include "base/digest.h"

const struct metric_row metric_rows[METRIC_COUNT] = {
    [METRIC_TTFT] = {"ttft_ms", "TTFT", "ms", true, false},
    [METRIC_TPOT] = {"tpot_ms", "TPOT", "ms", true, false},
    [METRIC_PREFILL_RATE] = {"prefill_tok_s", "prefill rate", "tok/s", true, true},
    [METRIC_DECODE_RATE] = {"decode_tok_s", "decode rate", "tok/s", true, true},
    [METRIC_TOTAL] = {"total_ms", "total time", "ms", true, false},
    [METRIC_ENERGY] = {"energy_j", "energy", "J", true, false},
    [METRIC_POWER_PREFILL] = {"power_prefill_w", "prefill power", "W", true, false},
    [METRIC_BYTES_MOVED] = {"bytes_moved", "memory traffic", "bytes", true, false},
    [METRIC_MEMORY] = {"memory_bytes", "memory", "bytes", true, false},
    [METRIC_PREPARE] = {"prepare_ms", "graph preparation", "ms", true, false},
    [METRIC_PREDICTED_PREFILL] = {"predicted_prefill_ms", "predicted prefill", "ms", false, false},
    [METRIC_PREDICTED_DECODE] = {"predicted_decode_ms", "predicted step", "ms", false, false},
    [METRIC_FPS_PREFILL] = {"fps_prefill", "game in prefill", "frames/s", false, true},
    [METRIC_FPS_DECODE] = {"fps_decode", "game in decode", "frames/s", false, true},
    [METRIC_FRAMES_DROPPED] = {"frames_dropped", "frames dropped", "frames", true, false},
    [METRIC_ACTIVATION_BITS] = {"activation_bits", "activations", "bits", false, false},
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
