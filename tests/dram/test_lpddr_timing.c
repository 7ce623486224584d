// SPDX-License-Identifier: GPL-3.0-or-later
// Every timing constraint is tight. Each scenario is small enough to be solved by hand: its end is
// a sum of timings. The simulated end must be that sum, and must move by exactly 1 ps (times the
// number of its occurrences) when a timing of the sum moves by 1 ps either way, and not at all with
// any other: so a command that waits for the constraint is refused at t - 1 and issued at t.
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include "tests/dram/lpddr_util.h"

#define CAP 16

struct push {
    int64_t at; // ps; negative: after the scenario's own delay (see `delay`)
    int bank;   // of channel 0; 4 banks to a group
    int64_t row;
    int64_t column;
    int64_t bytes;
    bool write;
};

struct scenario {
    const char *name, *sum; // names of timings, "a a b -c"
    struct push push[CAP];
    int n;
    int watch;             // whose end counts
    int64_t rrd, faw, ras; // other values than the configuration's, 0: the same
};

static const struct {
    const char *name;
    size_t offset;
} timing[] = {
#define F(x)                                                                                       \
    {                                                                                              \
#x, offsetof(struct lpddr_params, x)                                                       \
    }
    F(rcd), F(rp),  F(ras), F(rrd), F(faw), F(ccd_l), F(rl),
    F(wl),  F(wtr), F(wr),  F(rtp), F(rtw), F(refi),  F(rfc),
#undef F
};
enum { TIMINGS = sizeof timing / sizeof timing[0] };

static int64_t *field(struct lpddr_params *p, int i)
{
    return (int64_t *)((char *)p + timing[i].offset);
}

static void on_done(struct sim *s, struct lpddr_request *r)
{
    r->pushed = sim_now(s); // free after the end: keeps when it was
}

// The end of the watched request.
static int64_t simulate(const struct scenario *q, const struct lpddr_params *p)
{
    struct sim *s = sim_create();
    struct lpddr *d;
    struct err e = {0};
    struct lpddr_request r[CAP] = {0};
    int64_t end = -1;
    if (CHECK_OK(lpddr_create(p, s, &d, &e), &e)) {
        for (int i = 0; i < q->n; i++) {
            const struct push *u = &q->push[i];
            r[i] =
                (struct lpddr_request){.address = lpddr_address(p, 0, u->bank, u->row, u->column),
                                       .bytes = u->bytes,
                                       .write = u->write,
                                       .done = on_done};
            // Units of a row are not neighbours in the address space: a long access is several.
            sim_run_until(s, u->at);
            lpddr_push(d, &r[i]);
        }
        while (sim_step(s))
            ;
        end = r[q->watch].pushed;
        lpddr_destroy(d);
    }
    sim_destroy(s);
    return end;
}

// The sum, and how often timing i occurs in it.
static int64_t sum_of(const struct scenario *q, struct lpddr_params *p, int count[TIMINGS])
{
    int64_t total = 0;
    char text[200];
    memset(count, 0, TIMINGS * sizeof *count);
    snprintf(text, sizeof text, "%s", q->sum);
    for (char *save, *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        int sign = *w == '-' ? -1 : 1;
        w += *w == '-';
        bool known = false;
        for (int i = 0; i < TIMINGS; i++)
            if (!strcmp(w, timing[i].name)) {
                total += sign * *field(p, i);
                count[i] += sign;
                known = true;
            }
        if (!strcmp(w, "slot")) {
            total += sign * lpddr_slot(p);
            known = true;
        } else if (*w >= '0' && *w <= '9') {
            total += sign * atoll(w);
            known = true;
        }
        if (!known)
            test_note("%s: no timing %s", q->name, w);
        CHECK(known);
    }
    return total;
}

// Banks 0, 4, 8, 12 lie in the four groups.
#define B 32 // bytes of a burst
static const struct scenario scenario[] = {
    {"closed row, read: rcd, rl", "rcd rl slot", {{0, 0, 0, 0, B, false}}, 1, 0, 0, 0, 0},
    {"closed row, write: wl", "rcd wl slot", {{0, 0, 0, 0, B, true}}, 1, 0, 0, 0, 0},
    {"another row: ras, rp",
     "ras rp rcd rl slot",
     {{0, 0, 0, 0, B, false}, {0, 0, 1, 0, B, false}},
     2,
     1,
     0,
     0,
     0},
    {"another row after a read: rtp", // ras is over when the row is used again
     "100000 rl -rl rtp rp rcd rl slot",
     {{0, 0, 0, 0, B, false}, {100000, 0, 0, 32, B, false}, {100000, 0, 1, 0, B, false}},
     3,
     2,
     0,
     0,
     0},
    {"another row after a write: wr",
     "rcd wl slot wr rp rcd wl slot",
     {{0, 0, 0, 0, B, true}, {0, 0, 1, 0, B, true}},
     2,
     1,
     0,
     0,
     0},
    {"another bank: rrd",
     "rrd rcd rl slot",
     {{0, 0, 0, 0, B, false}, {0, 4, 0, 0, B, false}},
     2,
     1,
     0,
     0,
     0},
    {"fifth bank: faw",
     "faw rcd rl slot",
     {{0, 0, 0, 0, B, false},
      {0, 4, 0, 0, B, false},
      {0, 8, 0, 0, B, false},
      {0, 12, 0, 0, B, false},
      {0, 1, 0, 0, B, false}},
     5,
     4,
     4000,
     0,
     0},
    {"fifth bank: four times rrd when that is more",
     "rrd rrd rrd rrd rcd rl slot",
     {{0, 0, 0, 0, B, false},
      {0, 4, 0, 0, B, false},
      {0, 8, 0, 0, B, false},
      {0, 12, 0, 0, B, false},
      {0, 1, 0, 0, B, false}},
     5,
     4,
     6000,
     0,
     0},
    {"same group: ccd_l",
     "100000 ccd_l rl slot",
     {{0, 0, 0, 0, B, false}, {100000, 0, 0, 32, B, false}, {100000, 0, 0, 64, B, false}},
     3,
     2,
     0,
     0,
     0},
    {"bursts of a train: ccd_l",
     "rcd ccd_l ccd_l ccd_l rl slot",
     {{0, 0, 0, 0, 4 * B, false}},
     1,
     0,
     0,
     0,
     0},
    {"same group, another bank: ccd_l",
     "100000 ccd_l rl slot",
     {{0, 0, 0, 0, B, false},
      {0, 1, 0, 0, B, false},
      {100000, 0, 0, 32, B, false},
      {100000, 1, 0, 32, B, false}},
     4,
     3,
     0,
     0,
     0},
    {"another group: the data bus",
     "100000 slot rl slot",
     {{0, 0, 0, 0, B, false},
      {0, 4, 0, 0, B, false},
      {100000, 0, 0, 32, B, false},
      {100000, 4, 0, 32, B, false}},
     4,
     3,
     0,
     0,
     0},
    {"write to read: wtr",
     "rcd wl slot wtr rl slot",
     {{0, 0, 0, 0, B, true}, {18500, 0, 0, 32, B, false}},
     2,
     1,
     0,
     0,
     0},
    {"read to write: rtw", // the write data follow the read data, wherever wl puts the command
     "rcd rl slot rtw slot",
     {{0, 0, 0, 0, B, false}, {0, 0, 0, 32, B, true}},
     2,
     1,
     0,
     0,
     0},
    {"a request during a refresh: refi, rfc",
     "refi rfc rcd rl slot",
     {{3906500, 0, 0, 0, B, false}},
     1,
     0,
     0,
     0,
     0},
    {"the second refresh",
     "refi refi rfc rcd rl slot",
     {{7812500, 0, 0, 0, B, false}},
     1,
     0,
     0,
     0,
     0},
    {"a refresh before the row is used: ras, rp",
     "3905000 ras rp rfc rcd rl slot",
     {{3905000, 0, 0, 0, B, false}},
     1,
     0,
     0,
     0,
     0},
    {"a refresh with an open row: rp",
     "refi rp rfc rcd rl slot",
     {{3000000, 0, 0, 0, B, false}, {3906500, 0, 0, 0, B, false}},
     2,
     1,
     0,
     0,
     0},
    {"a refresh waits for the reads that run: rtp",
     "3900000 ccd_l ccd_l ccd_l ccd_l ccd_l ccd_l ccd_l rtp rp rfc rcd rl slot",
     {{3000000, 0, 0, 0, B, false}, {3900000, 0, 0, 0, 8 * B, false}, {3906500, 4, 0, 0, B, false}},
     3,
     2,
     0,
     0,
     0},
};

static void test_tight(void)
{
    for (size_t k = 0; k < sizeof scenario / sizeof scenario[0]; k++) {
        const struct scenario *q = &scenario[k];
        struct lpddr_params p = {0};
        struct err e = {0};
        CHECK(lpddr_example(0, &p, &e));
        p.ccd_l = 4000; // a little above two bursts, where the data bus would take its place
        p.rrd = q->rrd ? q->rrd : p.rrd;
        p.faw = q->faw ? q->faw : p.faw;
        int count[TIMINGS];
        int64_t want = sum_of(q, &p, count), got = simulate(q, &p);
        if (got != want)
            test_note("%s", q->name);
        CHECK_INT(got, want);
        for (int i = 0; i < TIMINGS; i++)
            for (int step = -1; step <= 1; step += 2) {
                struct lpddr_params v = p;
                *field(&v, i) += step;
                int64_t moved = simulate(q, &v) - got;
                if (moved != step * count[i])
                    test_note("%s: %s %+d ps moves the end by %lld ps", q->name, timing[i].name,
                              step, (long long)moved);
                CHECK_INT(moved, step * count[i]);
            }
    }
}

// Refresh of two banks at a time: the others go on.
static void test_per_bank(void)
{
    struct lpddr_params p = {0};
    struct err e = {0};
    CHECK(lpddr_example(0, &p, &e));
    p.per_bank = true;
    p.rfc = 140000; // JESD209-5B table 236: tRFCpb of 16 Gb
    int64_t at = p.refi / 8 + 1000;
    struct scenario q = {.name = "per bank", .n = 1, .push = {{at, 0, 0, 0, B, false}}};
    int64_t read = p.rcd + p.rl + lpddr_slot(&p);
    for (int bank = 0; bank < 16; bank++) { // the first command takes banks 0 and 8
        q.push[0].bank = bank;
        CHECK_INT(simulate(&q, &p), bank % 8 ? at + read : p.refi / 8 + p.rfc + read);
    }
    q.push[0].at += 3 * (p.refi / 8); // the fourth: 3 and 11
    for (int bank = 0; bank < 16; bank++) {
        q.push[0].bank = bank;
        CHECK_INT(simulate(&q, &p),
                  bank % 8 == 3 ? 4 * (p.refi / 8) + p.rfc + read : at + 3 * (p.refi / 8) + read);
    }
}

TESTS(dram_lpddr_timing, T(test_tight), T(test_per_bank))
