// SPDX-License-Identifier: GPL-3.0-or-later
// Graph objects, and the matmul that runs on one.
//
// A graph is a matmul with every size fixed. Its object holds the operands' memory; the schedule is
// blocks of tokens (all of them or 32), and every row of tiles once per block. Tokens of the graph
// that the task does not have are zeros, and are multiplied all the same.
//
// The object lies in shared memory. Its header is copied, compared with the message, and not looked
// at again: nothing that a host writes there later moves an address.
#include "engine/host/npu/dsp/number.h"
#include "engine/host/npu/dsp/products.h"

static enum npu_status check_shape(const struct npu_message *m)
{
    if (m->m0 < 0 || m->m0 >= m->m1 || m->m1 > m->m || m->k < 1 || m->n_pad < 1 || m->order > 1 ||
        m->n_parts < 0 || m->n_parts > 2)
        return NPU_BAD_SHAPE;
    return NPU_OK;
}

static struct npu_graph describe(const struct npu_message *m)
{
    struct npu_graph g = {.magic = NPU_GRAPH_MAGIC,
                          .forms = npu_forms(m->weights, m->n_parts),
                          .m0 = m->m0,
                          .m1 = m->m1,
                          .k = m->k,
                          .n_pad = m->n_pad,
                          .order = m->order,
                          .block = npu_graph_block(m->order, m->n_pad)};
    while (g.blocks * g.block < g.n_pad)
        g.blocks++;
    return g;
}

// Writes the whole object, so that no run pays for the first touch of its memory.
enum npu_status npu_prepare(const struct npu_message *m)
{
    uint8_t *to;
    enum npu_status status = check_shape(m);
    if (status != NPU_OK)
        return status;
    const struct npu_graph g = describe(m);
    const uint64_t bytes = npu_graph_bytes(g.forms, g.order, g.k, g.n_pad);
    status = npu_rows(&m->graph, 0, 1, 0, bytes, NPU_VECTOR, &to);
    if (status != NPU_OK)
        return status;
    memset(to, 0, (size_t)bytes);
    memcpy(to, &g, sizeof g);
    return NPU_OK;
}

struct run {
    const struct npu_message *m;
    struct npu_graph g;
    struct npu_scratch at;
    uint8_t *graph, *in, *out, *w[2], *bias[2];
    struct npu_row row[2];
    int32_t first, tokens, real; // of the block: first token, tokens, of them not padding
};

// Is this the object that the message's shape was prepared as? One that was prepared without
// knowing the weights has both forms.
static enum npu_status open_graph(struct run *r)
{
    const struct npu_message *m = r->m;
    struct npu_graph want = describe(m);
    enum npu_status status = npu_rows(&m->graph, 0, 1, 0, sizeof r->g, NPU_VECTOR, &r->graph);
    if (status != NPU_OK)
        return status;
    memcpy(&r->g, r->graph, sizeof r->g);
    if (r->g.magic != NPU_GRAPH_MAGIC || want.forms & ~r->g.forms || r->g.forms & ~3u ||
        r->g.m0 != want.m0 || r->g.m1 != want.m1 || r->g.k != want.k || r->g.n_pad != want.n_pad ||
        r->g.order != want.order || r->g.block != want.block || r->g.blocks != want.blocks)
        return NPU_BAD_GRAPH;
    r->at = npu_scratch(r->g.forms, want.order, want.k, want.n_pad);
    return npu_rows(&m->graph, 0, 1, 0, r->at.bytes, NPU_VECTOR, &r->graph);
}

// A part's rows [r0, r1) in whole rows of tiles, and their bias.
static enum npu_status open_part(struct run *r, int part, int64_t r0, int64_t r1)
{
    const struct npu_message *m = r->m;
    if (m->weights[part] >= NPU_W_CLASSES || m->halves[part] < 1 || m->halves[part] > 2 ||
        m->minima[part] > 1 || m->first[part] < 0 || m->first[part] % NPU_TILE ||
        (m->weights[part] != NPU_W_F32 && m->k % NPU_TILE))
        return NPU_BAD_SHAPE;
    r->row[part] = npu_row(m->weights[part], m->halves[part], m->minima[part], m->k);
    // In rows of tiles, of which the first one that is there is row 0.
    const int64_t first = m->first[part] / NPU_TILE, end = (r1 + NPU_TILE - 1) / NPU_TILE;
    struct npu_tensor tiles = m->w[part];
    tiles.rows = end > first ? (uint32_t)(end - first) : 0;
    enum npu_status status = npu_rows(&tiles, r0 / NPU_TILE - first, end - first, 0,
                                      r->row[part].bytes, NPU_VECTOR, &r->w[part]);
    r->bias[part] = NULL;
    if (status == NPU_OK && m->bias[part].arena != NPU_NO_TENSOR)
        status =
            npu_rows(&m->bias[part], 0, 1, 0, (uint64_t)m->w[part].rows * 4, 4, &r->bias[part]);
    return status;
}

// Brings the block's activations in, in the forms that the weights need.
static void bring_in(struct run *r)
{
    const struct npu_message *m = r->m;
    const int64_t tiles = (int64_t)npu_tiles(m->k);
    const uint32_t forms = npu_forms(m->weights, m->n_parts);
    for (int32_t i = 0; i < r->tokens; i++) {
        const uint8_t *at = r->in + (uint64_t)(m->n0 + r->first + i) * m->in.pitch;
        const float *x = i < r->real ? (const float *)(const void *)at : NULL;
        struct npu_block *q = (struct npu_block *)(void *)(r->graph + r->at.blocks) + i * tiles;
        float *unit = (float *)(void *)(r->graph + r->at.units) + i;
        float *f = (float *)(void *)(r->graph + r->at.values) + i * tiles * NPU_TILE;
        if (forms & NPU_FORM_I8 && x)
            *unit = npu_quantise(x, (int32_t)tiles, q);
        else if (forms & NPU_FORM_I8) {
            memset(q, 0, (size_t)tiles * sizeof *q);
            *unit = 0;
        }
        if (forms & NPU_FORM_F32) {
            memset(f, 0, (size_t)tiles * NPU_TILE * 4);
            if (x)
                memcpy(f, x, (size_t)m->k * 4);
        }
    }
}

// Stacked rows [m0, m1), which are rows from r0 on of one part.
static void run_part(struct run *r, int part, int32_t m0, int32_t m1, int64_t r0)
{
    const struct npu_message *m = r->m;
    const int64_t r1 = r0 + m1 - m0;
    struct npu_product p = {.row = r->row[part],
                            .weights = m->weights[part],
                            .halves = m->halves[part],
                            .minima = m->minima[part],
                            .tiles_k = (int32_t)npu_tiles(m->k),
                            .tokens = r->tokens,
                            .graph = r->graph,
                            .at = r->at};
    for (int64_t tile = r0 / NPU_TILE; tile * NPU_TILE < r1; tile++) {
        const int64_t a = tile * NPU_TILE > r0 ? tile * NPU_TILE : r0;
        const int64_t b = (tile + 1) * NPU_TILE < r1 ? (tile + 1) * NPU_TILE : r1;
        p.tiles = r->w[part] + (uint64_t)(tile - m->first[part] / NPU_TILE) * m->w[part].pitch;
        npu_products(&p);
        for (int32_t i = 0; i < r->real; i++) {
            const uint64_t n = (uint64_t)m->out_n0 + (uint64_t)(r->first + i);
            float *out = (float *)(void *)(r->out + n * m->out.pitch) + m0 + (a - r0);
            npu_results(&p, i, (int)(a - tile * NPU_TILE), (int)(b - tile * NPU_TILE), out);
            if (r->bias[part])
                for (int64_t j = a; j < b; j++)
                    out[j - a] += ((const float *)(const void *)r->bias[part])[j];
        }
    }
}

static int32_t least(int64_t a, int64_t b)
{
    return (int32_t)(a < b ? a : b);
}

enum npu_status npu_matmul(const struct npu_message *m)
{
    struct run r = {.m = m};
    const int32_t tokens = m->n1 - m->n0;
    int64_t begin = 0; // of the part, in stacked rows
    enum npu_status status = check_shape(m);
    if (status == NPU_OK && (tokens < 1 || tokens > m->n_pad || m->n_parts < 1))
        status = NPU_BAD_SHAPE;
    if (status == NPU_OK)
        status = open_graph(&r);
    if (status == NPU_OK)
        status = npu_rows(&m->in, m->n0, m->n1, 0, (uint64_t)m->k * 4, 4, &r.in);
    if (status == NPU_OK)
        status = npu_rows(&m->out, m->out_n0, (int64_t)m->out_n0 + tokens, (uint64_t)m->m0 * 4,
                          (uint64_t)(m->m1 - m->m0) * 4, 4, &r.out);
    for (int i = 0; i < m->n_parts && status == NPU_OK; begin += m->w[i++].rows) {
        const int64_t end = begin + m->w[i].rows;
        if (end > m->m0 && begin < m->m1)
            status = open_part(&r, i, (m->m0 > begin ? m->m0 : begin) - begin,
                               least(m->m1, end) - begin);
    }
    if (status == NPU_OK && begin != m->m)
        status = NPU_BAD_SHAPE;
    for (int32_t b = 0; b < r.g.blocks && status == NPU_OK; b++) {
        r.first = b * r.g.block;
        r.tokens = least(r.g.n_pad - r.first, r.g.block);
        r.real = tokens > r.first ? least(tokens - r.first, r.tokens) : 0;
        bring_in(&r);
        begin = 0;
        for (int i = 0; i < m->n_parts; begin += m->w[i++].rows) {
            const int64_t end = begin + m->w[i].rows;
            const int32_t m0 = (int32_t)(m->m0 > begin ? m->m0 : begin), m1 = least(m->m1, end);
            if (m0 < m1)
                run_part(&r, i, m0, m1, m0 - begin);
        }
    }
    return status;
}
