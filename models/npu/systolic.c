// SPDX-License-Identifier: GPL-3.0-or-later
// Weight-stationary systolic arrays behind an on-chip memory, as the closed form of their loop
// nest.
//
// One operand is cut into tiles of side x side that are held in the arrays (stationary); the rows
// of the other one are streamed through. A row needs all K of its values, so the streamed operand
// is brought into a fixed on-chip buffer in blocks of buffer / (K * 2 bytes) rows (FP16; INT8
// values are half as long, so blocks hold twice the rows and a tile loads in half the time):
//
//     for each panel of the stationary operand that fits on chip         (usually one)
//         for each block of streamed rows                                (M K 2 / buffer of them)
//             for each tile of the panel, over the arrays                (K/32 * N/32)
//                 load the tile; stream the block's rows through it
//
// Loading the next tile overlaps with streaming through the present one, so a tile takes the longer
// of the load's stall and its rows. When the stall is longer, the time is blocks * tiles * stall,
// that is M K^2 N: a wide K makes blocks short, and short blocks do not amortise the loads. That is
// what the published latencies show (arXiv 2501.14794, Table 3: 12.44 times the time for 3.5 times
// the arithmetic); nothing below mentions that ratio. Which operand is stationary is the task's
// choice. If it is the weight, its tiles must also be decoded one by one on the way into an array,
// where a streamed weight is decoded in bulk, behind the arrays' backs.
//
// N = 1 of quantised weights runs on the integer path, with a stall of its own.
//
// DMA, vector unit and arrays overlap: while the arrays work on one block, the next one comes in,
// and a panel takes the slowest of the three for all its blocks. What does not overlap is added for
// every panel: its stationary operand and its first block come in before the first tile can be
// used, and the results of its last block go out before the DMA engine, which has one queue, gets
// to the next panel. util_systolic_run.c does the same event by event.
//
// Sources: arXiv 2501.14794 sec. 3.2 (arrays, stall, operand order), arXiv 2406.06282 and
// 2509.23324 (TCM, DMA). Blocks are of equal length (a compiler would not leave a short last one);
// so more arrays or bandwidth never make anything slower. More buffer may, by two per cent: it is
// taken from the room of the stationary operand, and a larger first block takes longer to come in.
#include "models/npu/systolic.h"

#include <math.h>

#define ROW(...) CONF_ROW(struct systolic_params, __VA_ARGS__)

static const struct conf_row rows[] = {
    ROW(arrays, CONF_INT, UNIT_NONE, 1, 4096, "systolic arrays"),
    ROW(side, CONF_INT, UNIT_NONE, 1, 1024, "side of an array in multiply-adders"),
    ROW(clock, CONF_REAL, UNIT_FREQUENCY, 1e6, 1e11, "clock of the arrays"),
    ROW(efficiency, CONF_REAL, UNIT_PERCENT, 0.01, 1, "rows streamed per cycle, of one"),
    ROW(integer_rate, CONF_REAL, UNIT_NONE, 0.1, 16, "integer over FP16 rate of the arrays"),
    ROW(tcm, CONF_INT, UNIT_SIZE, 1024, 1e12, "on-chip memory"),
    ROW(buffer, CONF_INT, UNIT_SIZE, 64, 1e12, "on-chip buffer that holds one block of rows"),
    ROW(stall, CONF_INT, UNIT_TIME, 0, 1e12, "loading a stationary FP16 tile into an array"),
    ROW(stall_integer, CONF_INT, UNIT_TIME, 0, 1e12, "the same for one token of quantised weights"),
    ROW(stall_decode, CONF_INT, UNIT_TIME, 0, 1e12, "decoding a stationary weight tile, on top"),
    ROW(decode, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "weights decoded in bulk per second"),
    ROW(dma, CONF_REAL, UNIT_BANDWIDTH, 1e6, 1e15, "rate of the DMA engine"),
    ROW(vector, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "vector unit, element-wise operators"),
    ROW(attention, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "attention"),
};

static int check(const void *params, struct err *e)
{
    const struct systolic_params *p = params;
    if (2 * p->buffer >= p->tcm)
        return err_at(e, ERR_CONFIG, NULL, 0, "npu.arch.buffer",
                      "two blocks of %lld bytes (one is filled while the other is used) leave "
                      "nothing of the %lld bytes of tcm for the stationary operand",
                      (long long)p->buffer, (long long)p->tcm);
    return 0;
}

static int tile(const void *params)
{
    return (int)((const struct systolic_params *)params)->side;
}

static void peak(const void *params, struct npu_peak *out)
{
    const struct systolic_params *p = params;
    out->flops = 2.0 * (double)(p->arrays * p->side * p->side) * p->clock;
    out->ops = out->flops * p->integer_rate;
}

// Whole pieces of `unit` that cover x.
static double pieces(double x, double unit)
{
    return ceil(x / unit);
}

void systolic_nest(const struct systolic_params *p, const struct npu_matmul *s,
                   struct systolic_nest *out)
{
    bool streamed_weight = s->order == ORDER_WEIGHT_STREAMED;
    double side = (double)p->side, k = pieces(s->k, side) * side;
    double columns = pieces(streamed_weight ? s->n : s->m, side) * side;
    double rows_per_block = fmax(1, floor((double)p->buffer / (k * s->operand_bytes)));
    double room = (double)(p->tcm - 2 * p->buffer), inputs = (double)s->n * s->k * s->act_bytes;
    *out = (struct systolic_nest){
        .tiles = (int64_t)(k / side * (columns / side)),
        .streamed = streamed_weight ? s->m : s->n,
        .stationary = (int64_t)(streamed_weight ? inputs : s->weight_bytes),
        .stream = (int64_t)(streamed_weight ? s->weight_bytes : inputs),
        .output = (int64_t)((double)s->n * s->m * s->act_bytes),
        .bulk = s->quantised && streamed_weight,
        .load = s->integer && s->n == 1 ? p->stall_integer
                                        : (int64_t)((double)p->stall * s->operand_bytes / 2),
        .rate = p->clock * p->efficiency * (s->integer ? p->integer_rate : 1),
    };
    out->blocks = (int64_t)pieces((double)out->streamed, rows_per_block);
    out->panels = (int64_t)pieces(k * columns * s->operand_bytes, room);
    out->panels = out->panels < out->tiles ? out->panels : out->tiles;
    if (s->quantised && !streamed_weight)
        out->load += p->stall_decode;
}

static void matmul(const void *params, const struct npu_matmul *s, struct npu_cost *out)
{
    const struct systolic_params *p = params;
    struct systolic_nest n;
    systolic_nest(p, s, &n);
    double blocks = (double)n.blocks, panels = (double)n.panels, load = (double)n.load / 1e12;
    // Of one panel: what the busiest array has, given that two blocks are there at a time.
    double passes =
        fmax(pieces(blocks * ceil((double)n.tiles / panels), (double)p->arrays), pieces(blocks, 2));
    double length = (double)n.streamed / blocks + (double)p->side; // side: filling and draining
    double array = passes * fmax(load, length / n.rate);
    double decode = n.bulk ? (double)s->m * s->k / p->decode : 0;
    double rate = fmin(p->dma, s->port), stationary = (double)n.stationary / panels;
    double in = (double)n.stream, result = (double)n.output / panels;
    double longest = fmax(fmax(array, decode), (in + result) / rate) / blocks;
    // The first block: its bursts are decoded one behind the other as they come.
    double burst = fmin(1, SYSTOLIC_BURST / (in / blocks));
    double fill = fmax(in / rate + burst * decode, decode + burst * in / rate) / blocks;
    // The next panel's data queue up behind the last block's results.
    double drain = result / blocks / fmin(p->dma, s->drain);
    double panel =
        stationary / rate + fmax(fill, load) + (blocks - 1) * longest + array / blocks + drain;

    *out = (struct npu_cost){
        .array = panels * array,
        .decode = panels * decode,
        .bytes = (double)n.stationary + panels * in + (double)n.output,
        .written = (double)n.output,
        .blocks = blocks,
        .panels = panels,
    };
    out->dma = out->bytes / p->dma;
    out->compute = fmax(panels * panel, out->bytes / rate);
}

static double vector(const void *params, enum op_kind kind, double flops)
{
    const struct systolic_params *p = params;
    return flops / (kind == OP_ATTENTION ? p->attention : p->vector);
}

const struct npu_model_ops npu_systolic = {
    .name = "systolic",
    .doc = "weight-stationary systolic arrays, block buffer and TCM, DMA, vector unit",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .params_size = sizeof(struct systolic_params),
    .check = check,
    .tile = tile,
    .peak = peak,
    .matmul = matmul,
    .vector = vector,
    .create = systolic_create,
    .destroy = systolic_destroy,
    .start = systolic_start,
};
