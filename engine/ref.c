// SPDX-License-Identifier: GPL-3.0-or-later
// Plain loops in F32 with double accumulators, one output element at a time; weights are decoded
// row by row. No blocking, no vectors, no threads: slow on purpose, so that it can be believed.
#include "engine/ref.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static float *row(const struct buffer *b, int64_t r)
{
    void *p = (char *)b->host + r * b->pitch;
    return p;
}

// Smooth weight between the unchanged and the divided frequency, as the Llama 3.1 release defines.
static double llama3_frequency(const struct rope *r, double f)
{
    double wavelength = 2 * M_PI / f;
    double low = r->original_ctx / r->low_freq, high = r->original_ctx / r->high_freq;
    if (wavelength < high)
        return f;
    if (wavelength > low)
        return f / r->factor;
    double smooth = (r->original_ctx / wavelength - r->low_freq) / (r->high_freq - r->low_freq);
    return (1 - smooth) * f / r->factor + smooth * f;
}

// YaRN (arXiv 2309.00071): dimensions that turn more than beta_fast times within the original
// context keep their frequency, those below beta_slow are divided, a ramp lies between.
static double yarn_frequency(const struct rope *r, double f, int i)
{
    double d = r->dim, ln_base = 2 * log(r->theta);
    double low = floor(d * log(r->original_ctx / (r->beta_fast * 2 * M_PI)) / ln_base);
    double high = ceil(d * log(r->original_ctx / (r->beta_slow * 2 * M_PI)) / ln_base);
    low = fmax(low, 0);
    high = fmin(high, d - 1);
    double ramp = fmin(fmax((i - low) / fmax(high - low, 0.001), 0), 1);
    return f / r->factor * ramp + f * (1 - ramp);
}

void rope_angle(const struct rope *r, int pos, int i, float *cos_out, float *sin_out)
{
    double f = pow(r->theta, -2.0 * i / r->dim), scale = 1;
    if (r->factors)
        f /= r->factors[i];
    switch (r->scaling) {
    case ROPE_NONE:
        break;
    case ROPE_LINEAR:
        f /= r->factor;
        break;
    case ROPE_LLAMA3:
        f = llama3_frequency(r, f);
        break;
    case ROPE_YARN:
        f = yarn_frequency(r, f, i);
        scale = r->attn_factor * (1 + 0.1 * log(r->factor));
        break;
    }
    *cos_out = (float)(cos(pos * f) * scale);
    *sin_out = (float)(sin(pos * f) * scale);
}

static void embed(const struct task *t)
{
    const struct tensor *w = t->w[0];
    for (int n = t->n0; n < t->n1; n++) {
        int32_t id = *(const int32_t *)(const void *)row(t->in, n);
        assert(id >= 0 && id < w->rows);
        w->enc->decode((const char *)w->data + id * w->row_bytes, row(t->out, n), w->cols);
    }
}

static void rmsnorm(const struct task *t)
{
    const float *w = t->w[0]->data;
    int d = t->op->m;
    for (int n = t->n0; n < t->n1; n++) {
        const float *x = row(t->in, n);
        float *y = row(t->out, n);
        double sum = 0;
        for (int i = 0; i < d; i++)
            sum += (double)x[i] * x[i];
        float scale = (float)(1 / sqrt(sum / d + t->model->shape.norm_eps));
        for (int i = 0; i < d; i++)
            y[i] = x[i] * scale * w[i];
    }
}

static void matmul(const struct task *t, float *weight_row)
{
    int k = t->op->k;
    for (int m = t->m0; m < t->m1; m++) {
        int p = 0;
        int64_t r = m;
        while (r >= t->w[p]->rows)
            r -= t->w[p++]->rows;
        const struct tensor *w = t->w[p];
        w->enc->decode((const char *)w->data + r * w->row_bytes, weight_row, k);
        float bias = t->bias[p] ? ((const float *)t->bias[p]->data)[r] : 0;
        for (int n = t->n0; n < t->n1; n++) {
            const float *x = row(t->in, n);
            double sum = 0;
            for (int i = 0; i < k; i++)
                sum += (double)weight_row[i] * x[i];
            row(t->out, n - t->n0 + t->out_n0)[m] = (float)sum + bias;
        }
    }
}

static void rotate(const struct rope *r, float *head, int pos)
{
    for (int i = 0; i < r->dim / 2; i++) {
        float c, s;
        rope_angle(r, pos, i, &c, &s);
        float *a = r->pairs == ROPE_INTERLEAVED ? head + 2 * i : head + i;
        float *b = r->pairs == ROPE_INTERLEAVED ? a + 1 : a + r->dim / 2;
        float x = *a, y = *b;
        *a = x * c - y * s;
        *b = x * s + y * c;
    }
}

static void rope(const struct task *t)
{
    const struct model_shape *s = &t->model->shape;
    int kv = s->n_head_kv * s->d_head;
    for (int n = t->n0; n < t->n1; n++) {
        int pos = t->n_past + n;
        float *q = row(t->out, n), *k = row(t->kcache, pos), *v = row(t->vcache, pos);
        const float *in = row(t->in2, n);
        for (int h = 0; h < s->n_head; h++)
            rotate(&s->rope, q + h * s->d_head, pos);
        memcpy(k, in, (size_t)kv * sizeof *k);
        memcpy(v, in + kv, (size_t)kv * sizeof *v);
        for (int h = 0; h < s->n_head_kv; h++)
            rotate(&s->rope, k + h * s->d_head, pos);
    }
}

static void attention(const struct task *t, float *score)
{
    const struct model_shape *s = &t->model->shape;
    int d = s->d_head, group = s->n_head / s->n_head_kv;
    float scale = (float)(1 / sqrt(d));
    for (int n = t->n0; n < t->n1; n++) {
        int rows = t->n_past + n + 1;
        for (int h = 0; h < s->n_head; h++) {
            const float *q = row(t->in, n) + h * d;
            int at = h / group * d;
            float max = -INFINITY;
            double sum = 0;
            for (int j = 0; j < rows; j++) {
                double dot = 0;
                for (int i = 0; i < d; i++)
                    dot += (double)q[i] * row(t->kcache, j)[at + i];
                score[j] = (float)dot * scale;
                max = fmaxf(max, score[j]);
            }
            for (int j = 0; j < rows; j++) {
                score[j] = expf(score[j] - max);
                sum += score[j];
            }
            for (int i = 0; i < d; i++) {
                double acc = 0;
                for (int j = 0; j < rows; j++)
                    acc += (double)score[j] * row(t->vcache, j)[at + i];
                row(t->out, n)[h * d + i] = (float)(acc / sum);
            }
        }
    }
}

static void swiglu(const struct task *t)
{
    int f = t->op->m;
    for (int n = t->n0; n < t->n1; n++) {
        const float *x = row(t->in, n);
        float *y = row(t->out, n);
        for (int i = 0; i < f; i++)
            y[i] = x[i] / (1 + expf(-x[i])) * x[f + i];
    }
}

static void add(const struct task *t)
{
    for (int n = t->n0; n < t->n1; n++)
        for (int i = 0; i < t->op->m; i++)
            row(t->out, n)[i] += row(t->in, n)[i];
}

size_t ref_scratch(const struct model *m, int n_ctx)
{
    const struct model_shape *s = &m->shape;
    int most = s->d_model > s->d_ff ? s->d_model : s->d_ff;
    int a = s->n_head * s->d_head;
    most = most > a ? most : a;
    return (size_t)(most > n_ctx ? most : n_ctx);
}

void ref_run(const struct task *t, float *scratch)
{
    switch (t->op->kind) {
    case OP_EMBED:
        embed(t);
        break;
    case OP_RMSNORM:
        rmsnorm(t);
        break;
    case OP_MATMUL:
        matmul(t, scratch);
        break;
    case OP_ROPE:
        rope(t);
        break;
    case OP_ATTENTION:
        attention(t, scratch);
        break;
    case OP_SWIGLU:
        swiglu(t);
        break;
    case OP_ADD:
        add(t);
        break;
    case OP_KINDS:
        assert(0);
    }
}
