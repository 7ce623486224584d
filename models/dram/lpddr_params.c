// SPDX-License-Identifier: GPL-3.0-or-later
// Options of the memory, its address mapping, and what follows from the timings in closed form.
//
// Sources of the figures in the docs of the rows: JESD209-5B tables 235 and 236 (refresh, quoted in
// coreboot's SPD generator), JESD209-5C tables 225, 229, 230 (latencies), 339 (bursts in BG mode),
// 381 (core timings in BG mode, x16), as public simulators quote them.
#include <math.h>
#include "models/dram/lpddr_channel.h"

#define ROW(...) CONF_ROW(struct lpddr_params, __VA_ARGS__)
#define NS       ((double)PS_PER_NS)

const struct conf_row lpddr_rows[] = {
    ROW(transfer_rate, CONF_REAL, UNIT_FREQUENCY, 1e8, 1e11, "transfers per second and data line"),
    ROW(channels, CONF_INT, UNIT_NONE, 1, 64, "independent channels; a power of two"),
    ROW(width, CONF_INT, UNIT_NONE, 8, 128, "data lines of a channel; LPDDR5X: 16"),
    ROW(banks, CONF_INT, UNIT_NONE, 1, MAX_BANKS, "banks of a channel; LPDDR5X in BG mode: 16"),
    ROW(groups, CONF_INT, UNIT_NONE, 1, 16, "bank groups of a channel; LPDDR5X in BG mode: 4"),
    ROW(row, CONF_INT, UNIT_SIZE, 64, 65536, "bytes of a row of a bank; x16 in BG mode: 2 KiB"),
    ROW(interleave, CONF_INT, UNIT_SIZE, 16, 65536, "consecutive bytes in one channel"),
    ROW(burst, CONF_INT, UNIT_NONE, 1, 64, "transfers of one column access; BG mode: 16"),
    ROW(rcd, CONF_INT, UNIT_TIME, 1, 1e6, "tRCD, activate to column command; LPDDR5X: 18 ns"),
    ROW(rp, CONF_INT, UNIT_TIME, 1, 1e6, "tRPpb, precharge to activate; LPDDR5X: 18 ns"),
    ROW(ras, CONF_INT, UNIT_TIME, 1, 1e6, "tRAS, activate to precharge; LPDDR5X: 42 ns"),
    ROW(rrd, CONF_INT, UNIT_TIME, 0, 1e6, "tRRD, activate to activate of another bank; 5 ns"),
    ROW(faw, CONF_INT, UNIT_TIME, 0, 1e6, "tFAW, at most four activates in this time; 20 ns"),
    ROW(ccd_l, CONF_INT, UNIT_TIME, 0, 1e6,
        "tCCD_L, columns of one bank group; BL16 in BG mode: 4 clocks (two bursts)"),
    ROW(rl, CONF_INT, UNIT_TIME, 1, 1e6, "read latency, column command to data; about 21.5 ns"),
    ROW(wl, CONF_INT, UNIT_TIME, 1, 1e6, "write latency, column command to data; about 11.5 ns"),
    ROW(wtr, CONF_INT, UNIT_TIME, 0, 1e6, "tWTR, last write data to read; same group: 12 ns"),
    ROW(wr, CONF_INT, UNIT_TIME, 0, 1e6, "tWR, last write data to precharge; LPDDR5X: 34 ns"),
    ROW(rtp, CONF_INT, UNIT_TIME, 0, 1e6, "tRBTP and burst, read to precharge; 7.5 ns"),
    ROW(rtw, CONF_INT, UNIT_TIME, 0, 1e6, "idle data bus between read and write; about a clock"),
    ROW(refi, CONF_INT, UNIT_TIME, 1e3, 1e9,
        "tREFI, between two refreshes; 3.906 us up to 85 degC"),
    ROW(rfc, CONF_INT, UNIT_TIME, 1, 1e8,
        "tRFCab (16 Gb: 280 ns), or with per_bank tRFCpb (16 Gb: 140 ns)"),
    {.name = "per_bank",
     .type = CONF_BOOL,
     .fallback = "false",
     .doc = "refresh two banks at a time instead of all",
     .offset = offsetof(struct lpddr_params, per_bank)},
    ROW(window, CONF_INT, UNIT_NONE, 1, 64, "trains per direction that the scheduler looks at"),
    ROW(high, CONF_INT, UNIT_SIZE, 1, 1e9, "queued writes of a channel that start a drain"),
    ROW(low, CONF_INT, UNIT_SIZE, 0, 1e9, "queued writes of a channel that end a drain"),
};
const size_t lpddr_n_rows = sizeof lpddr_rows / sizeof lpddr_rows[0];

static bool power_of_two(int64_t v)
{
    return v > 0 && !(v & (v - 1));
}

int lpddr_check(const struct lpddr_params *p, struct err *e)
{
    int64_t burst = p->burst * p->width / 8;
    const struct {
        bool bad;
        const char *key, *want;
    } rule[] = {
        {!power_of_two(p->channels), "channels", "a power of two"},
        {!power_of_two(p->banks) || p->banks > MAX_BANKS, "banks", "a power of two, at most 64"},
        {!power_of_two(p->groups) || p->groups > p->banks, "groups",
         "a power of two, not more than banks"},
        {!power_of_two(burst), "burst", "burst * width / 8 bytes, a power of two"},
        {!power_of_two(p->interleave) || p->interleave < burst, "interleave",
         "a power of two, at least one burst"},
        {!power_of_two(p->row) || p->row < p->interleave, "row",
         "a power of two, at least interleave"},
        {p->ras < p->rcd, "ras", "at least rcd"},
        {p->faw < p->rrd, "faw", "at least rrd"},
        {p->rl + p->rtw < p->wl, "rl",
         "at least wl - rtw: the data bus keeps the order of commands"},
        {p->rfc + p->ras + p->rp > (p->per_bank ? p->refi * 2 / (p->banks + 1) : p->refi), "rfc",
         "less than the time between two refreshes, with ras and rp"},
        {p->low >= p->high, "low", "less than high"},
    };
    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++)
        if (rule[i].bad)
            return err_at(e, ERR_CONFIG, NULL, 0, rule[i].key, "expected %s", rule[i].want);
    return 0;
}

static uint64_t mask(int bits)
{
    return (UINT64_C(1) << bits) - 1;
}

// XOR of the lower `bits` bits of all digits of `width` bits of x. Channel, group and bank take
// different widths, so that they do not move in step.
static uint64_t fold(uint64_t x, int bits, int width)
{
    if (!bits)
        return 0;
    for (int k = 5; k >= 0; k--)
        if (width << k < 64)
            x ^= x >> (width << k);
    return x & mask(bits);
}

static int log2_of(int64_t v)
{
    return __builtin_ctzll((unsigned long long)v);
}

struct lpddr_place lpddr_map(const struct lpddr_params *p, uint64_t address)
{
    int unit = log2_of(p->interleave), channels = log2_of(p->channels), groups = log2_of(p->groups);
    int columns = log2_of(p->row) - unit, banks = log2_of(p->banks) - groups;
    uint64_t x = address >> unit, local = x >> channels, rest = local >> groups;
    uint64_t row = rest >> columns >> banks;
    // In Gray code neighbouring rows differ in one bit: the last bank of one is not the first of
    // the next, so a sequential stream does not close the row that it has just used.
    uint64_t bank = (rest >> columns ^ fold(row ^ row >> 1, banks, banks + 3)) & mask(banks);
    uint64_t group = (local ^ fold(rest, groups, groups + 1)) & mask(groups);
    uint64_t column = (rest & mask(columns)) << unit;
    return (struct lpddr_place){.channel =
                                    (int)((x ^ fold(local, channels, channels)) & mask(channels)),
                                .group = (int)group,
                                .bank = (int)(group << banks | bank),
                                .row = (int64_t)row,
                                .column = (int64_t)(column | (address & mask(unit)))};
}

int lpddr_address_bits(const struct lpddr_params *p)
{
    int bits = log2_of(p->row) + log2_of(p->banks) + log2_of(p->channels) + 31;
    return bits < 62 ? bits : 62;
}

int64_t lpddr_slot(const struct lpddr_params *p)
{
    return llround((double)p->burst / p->transfer_rate * (double)PS_PER_S);
}

int64_t lpddr_period(const struct lpddr_params *p)
{
    int64_t slot = lpddr_slot(p);
    if (p->ccd_l <= slot)
        return slot;
    return p->ccd_l > 2 * slot ? p->ccd_l : 2 * slot;
}

double lpddr_peak(const struct lpddr_params *p)
{
    return p->transfer_rate * (double)(p->channels * p->width) / 8;
}

// Reads alternate with drained batches of writes. A batch takes the queue from `high` to `low`, and
// what comes in meanwhile, but no more than `high`. Each switch of direction and each refresh of
// all banks leaves the data bus idle, from the last data of the old to the first of the new, and
// before it one of the two trains that run side by side ends first: on average half a train
// earlier, at half the rate. (Of the two ends of a batch one counts: batches are often whole
// pairs.) Other activates are hidden behind transfers of the other groups, and so are refreshes of
// single banks, as long as the window holds work for other banks. Not counted: rows that reads and
// writes close for each other (up to 2 %, with refresh bank by bank 3 %).
double lpddr_efficiency(const struct lpddr_params *p, double writes)
{
    double slot = (double)lpddr_slot(p), period = (double)lpddr_period(p);
    double burst = (double)(p->burst * p->width) / 8, reads = 1 - writes;
    double pace = p->groups > 1 ? fmax(slot, period / 2) : period; // ps per burst
    double ragged = pace < period ? (double)p->interleave / burst * period / 4 : 0;
    double idle = 0; // per burst, for turnarounds
    if (writes > 0 && writes < 1) {
        double high = (double)p->high, batch = (high - (double)p->low) / reads;
        double cycle = fmin(batch, high) / writes; // bytes, of both directions
        idle = ((double)(p->rtw + p->wtr + p->rl) + ragged) * burst / cycle;
    }
    double stream = slot / (pace + idle);
    if (p->per_bank)
        return stream;
    double read = (double)p->rtp - slot,
           write = (double)(p->wr + p->wl); // precharge, and first data
    double gap = reads * read + writes * write + (double)(p->rp + p->rfc + p->rcd);
    return stream * (1 - (gap + ragged + (double)p->rrd / 2) / (double)p->refi);
}

// The busiest channel is the first. Its units lie in the rows of its groups: the trains, activated
// one after the other, run in two lanes of the bus.
int64_t lpddr_idle_latency(const struct lpddr_params *p, int64_t bytes)
{
    int64_t slot = lpddr_slot(p), period = lpddr_period(p), burst = p->burst * p->width / 8;
    int64_t lanes = p->groups > 1 && period > slot ? 2 : 1, turn = p->interleave * p->channels;
    int64_t n[2] = {0, 0}; // bursts of each lane
    for (int64_t i = 0, left = bytes; left > 0; i++, left -= turn) {
        int64_t unit = left < p->interleave ? left : p->interleave;
        n[i % p->groups % lanes] += (unit + burst - 1) / burst;
    }
    int64_t begin = p->rrd; // of the second lane after the first, between its bursts
    int64_t phase = begin % period;
    if (phase < slot)
        begin += slot - phase;
    else if (phase > period - slot)
        begin += period - phase + slot;
    int64_t end = (n[0] - 1) * period, other = n[1] ? begin + (n[1] - 1) * period : 0;
    return p->rcd + (end > other ? end : other) + p->rl + slot;
}
