// SPDX-License-Identifier: GPL-3.0-or-later
// How a result is shown, to people and to programs.
#include "cli/cli.h"

#include <math.h>
#include <string.h>
#include "base/digest.h"

static void device_json(struct json *j, const struct session_device *d)
{
    json_object_begin(j, NULL);
    json_str(j, "name", d->name);
    json_i64(j, "tasks", (int64_t)d->stats.tasks);
    json_f64(j, "utilisation", d->utilisation);
    json_f64(j, "flops", d->stats.flops);
    json_f64(j, "bytes", d->stats.bytes);
    json_i64(j, "graphs", (int64_t)d->stats.graphs);
    json_f64(j, "energy_j", d->energy_j);
    json_object_end(j);
}

static void loss_json(struct json *j, const struct session_loss *l)
{
    json_object_begin(j, NULL);
    json_str(j, "device", l->device);
    json_i64(j, "token", l->token);
    json_i64(j, "kept", l->kept);
    json_i64(j, "redone", l->redone);
    json_str(j, "policy", l->policy);
    json_f64(j, "lost_ms", l->lost_ms);
    json_f64(j, "recovery_ms", l->recovery_ms);
    json_str(j, "why", l->why);
    json_object_end(j);
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static void loss_print(FILE *f, const struct session_loss *l)
{
    fprintf(f, "  lost     %s after %d token%s: %s\n", l->device, l->token, plural(l->token),
            l->why);
    fprintf(
        f,
        "           went on with policy %s: %.2f ms of work lost, %.2f ms to recover (%d token%s "
        "computed again, %d kept)\n",
        l->policy, l->lost_ms, l->recovery_ms, l->redone, plural(l->redone), l->kept);
}

static void frames_json(struct json *j, const char *key, const struct session_frames *f)
{
    json_object_begin(j, key);
    json_f64(j, "fps", f->rate);
    json_i64(j, "shown", (int64_t)f->shown);
    json_i64(j, "late", (int64_t)f->late);
    json_i64(j, "dropped", (int64_t)f->dropped);
    json_object_end(j);
}

static void frames_print(FILE *f, const char *phase, const struct session_frames *r)
{
    fprintf(f, "%s %.1f fps (%llu shown, %llu of them late, %llu dropped)", phase, r->rate,
            (unsigned long long)r->shown, (unsigned long long)r->late,
            (unsigned long long)r->dropped);
}

void cli_result_json(struct json *j, const struct cli_session *s, const struct common *c,
                     const struct session_result *r, const char *text, size_t text_size)
{
    char hex[17];
    json_str(j, "machine", c->machine);
    json_str(j, "model", s->q.model->shape.name);
    if (c->engine)
        json_str(j, "engine", c->engine);
    json_str(j, "policy", c->policy);
    json_str(j, "sync", c->sync);
    json_i64(j, "n_prompt", r->n_prompt);
    json_i64(j, "n_gen", r->n_gen);
    json_f64(j, "ttft_ms", r->ttft_ms);
    json_f64(j, "tpot_ms", r->tpot_ms);
    json_f64(j, "prefill_tok_s", r->prefill_tok_s);
    json_f64(j, "decode_tok_s", r->decode_tok_s);
    json_f64(j, "total_ms", r->total_ms);
    json_f64(j, "prepare_ms", r->prepare_ms);
    json_f64(j, "energy_j", r->energy_j);
    json_f64(j, "power_prefill_w", r->power_prefill_w);
    json_f64(j, "bytes_moved", r->bytes_moved);
    json_f64(j, "decode_gb_s", r->decode_gb_s);
    json_f64(j, "copied_bytes", r->copied_bytes);
    json_f64(j, "memory_bytes", r->memory_bytes);
    json_f64(j, "predicted_prefill_ms", r->predicted_prefill_ms);
    json_f64(j, "predicted_decode_ms", r->predicted_decode_ms);
    if (!isnan(r->temperature_c)) {
        json_f64(j, "temperature_c", r->temperature_c);
        json_f64(j, "throttled", r->throttled);
    }
    if (r->frame_rate > 0) {
        json_object_begin(j, "game");
        json_f64(j, "rate", r->frame_rate);
        frames_json(j, "prefill", &r->frames_prefill);
        frames_json(j, "decode", &r->frames_decode);
        json_object_end(j);
    }
    json_i64(j, "submissions", (int64_t)r->submissions);
    json_i64(j, "joins", (int64_t)r->joins);
    json_array_begin(j, "devices");
    for (int i = 0; i < r->n_devices; i++)
        device_json(j, &r->device[i]);
    json_array_end(j);
    if (r->n_losses) {
        json_array_begin(j, "losses");
        for (int i = 0; i < r->n_losses; i++)
            loss_json(j, &r->loss[i]);
        json_array_end(j);
    }
    if (r->tokens) {
        json_array_begin(j, "tokens");
        for (int i = 0; i < r->n_gen; i++)
            json_i64(j, NULL, r->tokens[i]);
        json_array_end(j);
    } else {
        json_none(j, "tokens");
    }
    if (text)
        json_str_n(j, "text", text, text_size);
    else
        json_none(j, "text");
    json_str(j, "plan_prefill", digest_text(r->plan_prefill, hex));
    json_str(j, "plan_decode", digest_text(r->plan_decode, hex));
    if (r->logits_digest)
        json_str(j, "logits_digest", digest_text(r->logits_digest, hex));
    else
        json_none(j, "logits_digest");
    json_str(j, "digest", digest_text(r->digest, hex));
}

void cli_result_print(FILE *f, const struct cli_session *s, const struct common *c,
                      const struct session_result *r)
{
    char hex[17];
    fprintf(f, "%s on %s%s%s, policy %s, sync %s\n", s->q.model->shape.name, c->machine,
            c->engine ? ", engine " : "", c->engine ? c->engine : "", c->policy, c->sync);
    fprintf(f, "  prefill  %6d tokens   TTFT %10.2f ms   %8.1f token/s", r->n_prompt, r->ttft_ms,
            r->prefill_tok_s);
    if (!isnan(r->predicted_prefill_ms))
        fprintf(f, "   (plan predicts %.2f ms)", r->predicted_prefill_ms);
    if (r->n_gen > 1)
        fprintf(f, "\n  decode   %6d tokens   TPOT %10.2f ms   %8.1f token/s", r->n_gen, r->tpot_ms,
                r->decode_tok_s);
    if (r->n_gen > 1 && !isnan(r->predicted_decode_ms))
        fprintf(f, "   (plan predicts %.2f ms)", r->predicted_decode_ms);
    fprintf(f, "\n  moved    %.3f GB", r->bytes_moved / 1e9);
    if (r->n_gen > 1)
        fprintf(f, ", %.1f GB/s in decode", r->decode_gb_s);
    if (r->copied_bytes > 0)
        fprintf(f, ", %.1f MB copied between memories", r->copied_bytes / 1e6);
    fprintf(f, "; memory %.1f MB\n", r->memory_bytes / 1e6);
    if (!isnan(r->energy_j))
        fprintf(f, "  energy   %.3f J, %.2f W in prefill\n", r->energy_j, r->power_prefill_w);
    if (!isnan(r->temperature_c))
        fprintf(f, "  heat     %.1f degC at most, throttled for %.0f %% of the time\n",
                r->temperature_c, r->throttled * 100);
    if (r->frame_rate > 0) {
        fprintf(f, "  game     wants %g fps; ", r->frame_rate);
        frames_print(f, "prefill", &r->frames_prefill);
        if (r->n_gen > 1)
            frames_print(f, "; decode", &r->frames_decode);
        fputc('\n', f);
    }
    fprintf(f, "  busy    ");
    for (int i = 0; i < r->n_devices; i++)
        fprintf(f, " %s %.0f %%", r->device[i].name, r->device[i].utilisation * 100);
    fprintf(f, "; %llu submissions, %llu joins", (unsigned long long)r->submissions,
            (unsigned long long)r->joins);
    if (r->prepare_ms > 0)
        fprintf(f, ", graphs prepared in %.1f ms", r->prepare_ms);
    fputc('\n', f);
    for (int i = 0; i < r->n_losses; i++)
        loss_print(f, &r->loss[i]);
    fprintf(f, "  digest   %s", digest_text(r->digest, hex));
    if (r->logits_digest)
        fprintf(f, "   logits %s", digest_text(r->logits_digest, hex));
    fputc('\n', f);
}
