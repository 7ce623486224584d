// SPDX-License-Identifier: GPL-3.0-or-later
// The memories of five SoCs as configuration text, and streams of requests to drive them.
#ifndef TESTS_DRAM_LPDDR_UTIL_H
#define TESTS_DRAM_LPDDR_UTIL_H

#include <string.h>
#include "base/arena.h"
#include "models/dram/lpddr_channel.h"

// A clock is eight transfers (WCK:CK = 4:1); latencies are whole clocks. Tables of JESD209-5 are
// cited as public simulators and firmware quote them: core timings and latencies for 6400 MT/s
// (RL 17, WL 9 clocks) and 7500 MT/s (RL 20, WL 11). At higher rates the core timings are taken to
// be the same, and the latencies to be the same time, rounded to clocks: guesses.
#define LPDDR_CORE                                                                                 \
    "banks = 16;"             /* JESD209-5: BG mode, 4 groups of 4; required above 3200 MT/s */    \
    "groups = 4;"             /* same */                                                           \
    "row = \"2 KiB\";"        /* JESD209-5: page of a x16 channel in BG mode */                    \
    "burst = 16;"             /* BL16; a BL32 of BG mode is two with a gap of one */               \
    "rcd = \"18 ns\";"        /* JESD209-5C table 381: max(18 ns, 2 nCK) */                        \
    "rp = \"18 ns\";"         /* same: tRPpb; tRPab is 21 ns */                                    \
    "ras = \"42 ns\";"        /* same */                                                           \
    "rrd = \"5 ns\";"         /* same, BG mode */                                                  \
    "faw = \"20 ns\";"        /* same, BG mode */                                                  \
    "wtr = \"12 ns\";"        /* same: tWTR_L; tWTR_S of another group is 6.25 ns */               \
    "wr = \"34 ns\";"         /* same */                                                           \
    "rtp = \"7.5 ns\";"       /* same: max(7.5 ns, 2 nCK) from the command of a BL16 */            \
    "refi = \"3.906 us\";"    /* JESD209-5B: 32 ms / 8192 */                                       \
    "rfc = \"280 ns\";"       /* JESD209-5B table 235: tRFCab of 12 and 16 Gb */                   \
    "interleave = \"256 B\";" /* guess: small enough to spread a cache line's neighbours */        \
    "window = 32;"            /* guess: a queue of a mobile controller */                          \
    "high = \"4 KiB\";"       /* guess: 64 writes of 64 B */                                       \
    "low = \"1 KiB\";"        /* guess: a quarter of it */

static const char *const lpddr_soc[][2] = {
    {"sd8gen3", "transfer_rate = \"8.533 GHz\"; channels = 4; width = 16;"
                "ccd_l = \"3.75 ns\";" // 4 clocks
                "rl = \"21.563 ns\";"  // 23 clocks
                "wl = \"11.25 ns\";"   // 12 clocks
                "rtw = \"0.938 ns\";"  // 1 clock
     LPDDR_CORE},
    {"sd8elite", "transfer_rate = \"10.667 GHz\"; channels = 4; width = 16;"
                 "ccd_l = \"3 ns\";"
                 "rl = \"21.75 ns\";" // 29 clocks
                 "wl = \"11.25 ns\";" // 15 clocks
                 "rtw = \"0.75 ns\";" LPDDR_CORE},
    {"dimensity9300", "transfer_rate = \"9.6 GHz\"; channels = 4; width = 16;"
                      "ccd_l = \"3.333 ns\";"
                      "rl = \"21.667 ns\";" // 26 clocks
                      "wl = \"11.667 ns\";" // 14 clocks
                      "rtw = \"0.833 ns\";" LPDDR_CORE},
    {"a18", "transfer_rate = \"7.5 GHz\"; channels = 4; width = 16;"
            "ccd_l = \"4.267 ns\";"
            "rl = \"21.333 ns\";" // 20 clocks
            "wl = \"11.733 ns\";" // 11 clocks
            "rtw = \"1.067 ns\";" LPDDR_CORE},
    {"orin", "transfer_rate = \"6.4 GHz\"; channels = 16; width = 16;"
             "ccd_l = \"5 ns\";"
             "rl = \"21.25 ns\";" // 17 clocks
             "wl = \"11.25 ns\";" // 9 clocks
             "rtw = \"1.25 ns\";" LPDDR_CORE},
};
enum { LPDDR_SOCS = sizeof lpddr_soc / sizeof lpddr_soc[0] };

// Reads one of them; false and *e on failure.
static inline bool lpddr_example(int i, struct lpddr_params *p, struct err *e)
{
    struct arena a;
    struct conf *c;
    arena_init(&a);
    bool ok = conf_open_text(lpddr_soc[i][0], lpddr_soc[i][1], &c, e) >= 0;
    if (ok) {
        ok = conf_read(conf_root(c), "timing", lpddr_rows, lpddr_n_rows, p, &a, e) >= 0;
        conf_close(c);
    }
    arena_fini(&a);
    return ok && lpddr_check(p, e) >= 0;
}

// The address of a place: the first unit of the row whose mapping is it.
static inline uint64_t lpddr_address(const struct lpddr_params *p, int channel, int bank,
                                     int64_t row, int64_t column)
{
    uint64_t set = (uint64_t)(p->row * p->banks * p->channels); // all rows of one number
    for (uint64_t a = set * (uint64_t)row; a < set * (uint64_t)(row + 1);
         a += (uint64_t)p->interleave) {
        struct lpddr_place at = lpddr_map(p, a);
        if (at.channel == channel && at.bank == bank && at.row == row &&
            at.column == column / p->interleave * p->interleave)
            return a + (uint64_t)(column % p->interleave);
    }
    return UINT64_MAX;
}

// A closed loop: so many requests outstanding, a finished one is followed by the next. Reads and
// writes are two streams, each over its own half of the memory.
enum { STREAM_OUTSTANDING = 1024 };
struct stream {
    struct lpddr *d;
    int outstanding;
    int64_t limit;         // requests in all
    int64_t bytes, stride; // of one; from one to the next, 0: anywhere
    double writes;         // share of the requests
    uint64_t base[2];      // of reads and of writes
    int client[2];
    int64_t pushed, done, last, position[2]; // last: ps of the last completion
    uint64_t random;
    struct stream_slot {
        struct lpddr_request r;
        struct stream *owner;
    } slot[STREAM_OUTSTANDING];
};

static inline uint64_t stream_random(uint64_t *x) // xorshift64*
{
    *x ^= *x >> 12;
    *x ^= *x << 25;
    *x ^= *x >> 27;
    return *x * UINT64_C(2685821657736338717) >> 16;
}

static inline void stream_push(struct stream *t, struct lpddr_request *r)
{
    if (t->pushed == t->limit)
        return;
    double n = (double)t->pushed++;
    r->bytes = t->bytes;
    r->write = (int64_t)((n + 1) * t->writes) > (int64_t)(n * t->writes);
    r->client = t->client[r->write];
    int64_t at = t->stride ? t->position[r->write]
                           : (int64_t)(stream_random(&t->random) % (1 << 26)) * t->bytes;
    t->position[r->write] += t->stride;
    r->address = t->base[r->write] + (uint64_t)at;
    lpddr_push(t->d, r);
}

static inline void stream_done(struct sim *s, struct lpddr_request *r)
{
    struct stream *t = SIM_OWNER(r, struct stream_slot, r)->owner;
    t->done++;
    t->last = sim_now(s);
    stream_push(t, r);
}

static inline void stream_start(struct stream *t)
{
    t->random = 88172645463325252;
    for (int i = 0; i < t->outstanding; i++) {
        t->slot[i].owner = t;
        t->slot[i].r.done = stream_done;
        stream_push(t, &t->slot[i].r);
    }
}

static inline double stream_bandwidth(const struct stream *t) // bytes/s
{
    return (double)(t->done * t->bytes) / ((double)t->last / (double)PS_PER_S);
}
#endif
