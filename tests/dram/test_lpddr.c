// SPDX-License-Identifier: GPL-3.0-or-later
// The memory as a whole: bandwidths against hand calculations, the closed forms against the
// simulation, conservation, fairness, mapping and options.
#include "tests/harness.h"

#include <stdlib.h>
#include "tests/dram/lpddr_util.h"

static struct stream stream;

static struct lpddr_params example(int i)
{
    struct lpddr_params p = {0};
    struct err e = {0};
    CHECK_OK(lpddr_example(i, &p, &e) ? 0 : -1, &e);
    return p;
}

static uint64_t writes_at = UINT64_C(1) << 32;

// Runs a closed loop and returns its bandwidth in bytes/s.
static double run(const struct lpddr_params *p, int outstanding, int64_t requests, int64_t bytes,
                  int64_t stride, double writes, struct lpddr_stats *n, uint64_t *digest)
{
    struct sim *s = sim_create();
    struct lpddr *d;
    struct err e = {0};
    double got = 0;
    if (CHECK_OK(lpddr_create(p, s, &d, &e), &e)) {
        stream = (struct stream){.d = d,
                                 .outstanding = outstanding,
                                 .limit = requests,
                                 .bytes = bytes,
                                 .stride = stride,
                                 .writes = writes,
                                 .base = {0, writes_at},
                                 .client = {0, 1}};
        stream_start(&stream);
        while (sim_step(s))
            ;
        CHECK_INT(stream.done, requests);
        got = stream_bandwidth(&stream);
        struct lpddr_stats mine;
        lpddr_get_stats(d, n ? n : &mine);
        if (digest)
            *digest = sim_digest(s);
        lpddr_destroy(d);
    }
    sim_destroy(s);
    return got;
}

// Sequential streams of the five memories reach the closed form. Where the writes lie relative to
// the reads decides how often they meet in a bank: the mean over some places counts.
static void test_efficiency(void)
{
    enum { PLACES = 4 };
    static const double writes[] = {0, 0.1, 0.25, 0.5, 1};
    for (int i = 0; i < LPDDR_SOCS; i++) {
        struct lpddr_params p = example(i);
        for (int k = 0; k < 5; k++) {
            int64_t out = 64 * p.channels; // more than write queues, so that reads never run dry
            out = out < STREAM_OUTSTANDING ? out : STREAM_OUTSTANDING;
            double sum = 0, places = writes[k] > 0 && writes[k] < 1 ? PLACES : 1;
            for (int place = 0; place < places; place++) {
                uint64_t bank = (uint64_t)(p.row * p.groups * p.channels);
                writes_at = (UINT64_C(1) << 32) + bank * (uint64_t)(place % 4) +
                            (uint64_t)(p.channels * 256 * (place / 4));
                sum += run(&p, (int)out, 1024 * p.channels, 1024, 1024, writes[k], NULL, NULL);
            }
            double got = sum / places / lpddr_peak(&p), want = lpddr_efficiency(&p, writes[k]);
            test_note(
                "%s, %2.0f %% writes: %.4f of the peak, closed form %.4f (%+.2f %%), %.2f GB/s",
                lpddr_soc[i][0], writes[k] * 100, got, want, 100 * (want / got - 1),
                got * lpddr_peak(&p) * 1e-9);
            CHECK_NEAR(got, want, 0.02 * want);
        }
    }
}

// Refreshes of single banks are hidden behind work for others.
static void test_per_bank(void)
{
    static const double writes[] = {0, 0.25, 0.5, 1};
    struct lpddr_params p = example(0);
    p.per_bank = true;
    p.rfc = 140000; // JESD209-5B table 236
    writes_at = UINT64_C(1) << 32;
    for (int k = 0; k < 4; k++) {
        double got = run(&p, 256, 8192, 1024, 1024, writes[k], NULL, NULL) / lpddr_peak(&p);
        test_note("%.0f %% writes: %.4f of the peak, closed form %.4f", writes[k] * 100, got,
                  lpddr_efficiency(&p, writes[k]));
        CHECK_NEAR(got, lpddr_efficiency(&p, writes[k]), 0.03);
    }
}

// 64 B anywhere: every access needs an activate, of which tFAW allows four. The refreshes take
// their share: with the rows closed anyway, tRFC and the precharge of what is open.
static void test_random(void)
{
    struct lpddr_params p = example(0);
    double bound = 4.0 * 64 / ((double)p.faw / (double)PS_PER_S) * (double)p.channels *
                   (1 - (double)(p.rfc + p.rp + p.ras) / (double)p.refi);
    double got = run(&p, 512, 100000, 64, 0, 0, NULL, NULL);
    test_note("random 64 B: %.2f GB/s, tFAW allows %.2f", got * 1e-9, bound * 1e-9);
    CHECK(got < bound * 1.005);
    CHECK_NEAR(got, bound, 0.04 * bound);
    // Without tFAW and tRRD the bus is the limit: two bursts per access, side by side.
    p.faw = p.rrd = 0;
    p.window = 64;
    got = run(&p, 1024, 100000, 64, 0, 0, NULL, NULL);
    test_note("random 64 B without activate limits: %.2f GB/s", got * 1e-9);
    CHECK(got > 1.1 * bound);
}

static void on_done(struct sim *s, struct lpddr_request *r)
{
    r->pushed = sim_now(s); // keeps the end
}

// Row after row of one bank: one access per tRC = tRAS + tRP, to the picosecond.
static void test_same_bank(void)
{
    enum { N = 60 };
    struct lpddr_params p = example(0);
    struct sim *s = sim_create();
    struct lpddr *d;
    struct lpddr_request r[N] = {0};
    struct err e = {0};
    CHECK_OK(lpddr_create(&p, s, &d, &e), &e);
    for (int i = 0; i < N; i++) {
        r[i] = (struct lpddr_request){
            .address = lpddr_address(&p, 1, 6, i, 0), .bytes = 64, .done = on_done};
        lpddr_push(d, &r[i]);
    }
    while (sim_step(s))
        ;
    for (int i = 0; i < N; i++)
        CHECK_INT(r[i].pushed,
                  i * (p.ras + p.rp) + p.rcd + lpddr_period(&p) + p.rl + lpddr_slot(&p));
    lpddr_destroy(d);
    sim_destroy(s);
}

// Strides and a second stream cost nothing while each access moves more than its activate takes.
static void test_streams(void)
{
    struct lpddr_params p = example(0);
    double one = run(&p, 256, 65536, 1024, 1024, 0, NULL, NULL);
    static const int64_t stride[] = {512,   768,   2048,  4096,  8192,
                                     11008, 14336, 28672, 65536, 131072};
    for (size_t i = 0; i < sizeof stride / sizeof *stride; i++) {
        double got = run(&p, 256, 65536, 256, stride[i], 0, NULL, NULL);
        test_note("256 B every %lld B: %.2f GB/s, sequential %.2f", (long long)stride[i],
                  got * 1e-9, one * 1e-9);
        CHECK(got > 0.85 * one && got < 1.01 * one); // three units: the groups are not even
    }
    // Two streams, one of them of writes: batches are separated by turnarounds, never more of them
    // than the watermarks allow.
    struct lpddr_stats n = {0};
    run(&p, 256, 65536, 1024, 1024, 0.5, &n, NULL);
    double batches = 65536.0 * 1024 / 2 / (double)(p.high - p.low);
    CHECK((double)n.turnarounds <= 2 * batches * 1.02);
    CHECK((double)n.turnarounds >= batches);
}

// A group alone cannot fill the bus: columns of one group are tCCD_L apart.
static void test_one_group(void)
{
    struct lpddr_params p = example(0);
    p.channels = 1;
    p.refi = PS_PER_MS; // no refresh
    struct sim *s = sim_create();
    struct lpddr *d;
    struct err e = {0};
    struct lpddr_request r[2][8] = {0};
    CHECK_OK(lpddr_create(&p, s, &d, &e), &e);
    for (int both = 0; both < 2; both++) {
        int64_t begin = sim_now(s), last = 0;
        for (int i = 0; i < 8; i++) { // whole units of one row, or of two rows of two groups
            int bank = both && i % 2 ? 4 : 0;
            int64_t column = 256 * (both ? i / 2 + 4 : i);
            r[both][i] = (struct lpddr_request){
                .address = lpddr_address(&p, 0, bank, 5, column), .bytes = 256, .done = on_done};
            lpddr_push(d, &r[both][i]);
        }
        while (sim_step(s))
            ;
        for (int i = 0; i < 8; i++)
            last = r[both][i].pushed > last ? r[both][i].pushed : last;
        int64_t slot = lpddr_slot(&p);
        // The row of bank 0 is still open and starts at once, in the even slots; that of bank 4
        // follows tRCD later, in the next odd one.
        int64_t odd = (p.rcd - slot + 2 * slot - 1) / (2 * slot) * 2 * slot + slot;
        if (both)
            CHECK_INT(last - begin, odd + 31 * 2 * slot + p.rl + slot);
        else
            CHECK_INT(last - begin, p.rcd + 63 * p.ccd_l + p.rl + slot);
    }
    lpddr_destroy(d);
    sim_destroy(s);
}

static void test_idle_latency(void)
{
    for (int i = 0; i < LPDDR_SOCS; i++) {
        struct lpddr_params p = example(i);
        for (int64_t bytes = 1; bytes <= 65536; bytes += bytes < 2048 ? 37 : 4099) {
            struct sim *s = sim_create();
            struct lpddr *d;
            struct err e = {0};
            struct lpddr_request r = {.bytes = bytes, .done = on_done};
            CHECK_OK(lpddr_create(&p, s, &d, &e), &e);
            lpddr_push(d, &r);
            while (sim_step(s))
                ;
            int64_t want = lpddr_idle_latency(&p, bytes);
            bool exact = bytes <= p.interleave * p.channels; // one train of each channel
            if (exact ? r.pushed != want : llabs(r.pushed - want) > want / 20)
                test_note("%s, %lld B: %lld ps, closed form %lld ps", lpddr_soc[i][0],
                          (long long)bytes, (long long)r.pushed, (long long)want);
            CHECK(exact ? r.pushed == want : llabs(r.pushed - want) <= want / 20);
            lpddr_destroy(d);
            sim_destroy(s);
        }
    }
}

// Bytes of each client as pushed, whatever the sizes; a run is the same every time, after a reset
// too; and every access is a hit, a miss or a conflict.
static void test_conservation(void)
{
    struct lpddr_params p = example(0);
    struct lpddr_stats n[2] = {0};
    uint64_t digest[2];
    for (int i = 0; i < 2; i++)
        run(&p, 100, 20000, 1000, 1111, 0.3, &n[i], &digest[i]);
    CHECK(digest[0] == digest[1]);
    CHECK(!memcmp(&n[0], &n[1], sizeof n[0]));
    CHECK_NEAR(n[0].bytes[0], 14000 * 1000.0, 0);
    CHECK_NEAR(n[0].bytes[1], 6000 * 1000.0, 0);
    CHECK_INT(n[0].hits + n[0].misses + n[0].conflicts, n[0].trains);
    CHECK_INT(n[0].requests, 20000);
    CHECK(n[0].latency > 0 && n[0].refreshes > 0);
    // A burst moves at most 32 bytes, and at most two at the ends of a request are partly used.
    CHECK((double)n[0].bursts * 32 >= 20000 * 1000.0);
    CHECK((double)n[0].bursts * 32 <= 20000 * (1000.0 + 64));

    struct sim *s = sim_create(); // a reset in the middle
    struct lpddr *d;
    struct err e = {0};
    CHECK_OK(lpddr_create(&p, s, &d, &e), &e);
    for (int i = 0; i < 3; i++) {
        stream = (struct stream){.d = d,
                                 .outstanding = 100,
                                 .limit = 20000,
                                 .bytes = 1000,
                                 .stride = 1111,
                                 .writes = 0.3,
                                 .base = {0, UINT64_C(1) << 32},
                                 .client = {0, 1}};
        stream_start(&stream);
        if (i < 2)
            sim_run_until(s, (i + 1) * 10 * PS_PER_US);
        else
            while (sim_step(s))
                ;
        if (i == 2)
            CHECK(sim_digest(s) == digest[0]);
        sim_reset(s);
        lpddr_reset(d);
    }
    lpddr_destroy(d);
    sim_destroy(s);
}

// A row that nobody else wants, behind an endless stream of hits to its bank; a write behind reads;
// a read behind writes. Each ends within the bound that the scheduler's limits give.
static void test_starvation(void)
{
    struct lpddr_params p = example(0);
    p.channels = 1;
    for (int k = 0; k < 3; k++) {
        struct sim *s = sim_create();
        struct lpddr *d;
        struct err e = {0};
        CHECK_OK(lpddr_create(&p, s, &d, &e), &e);
        static struct lpddr_request hit[16];
        struct lpddr_request victim = {.address = lpddr_address(&p, 0, k ? 5 : 0, 9, 0),
                                       .bytes = 64,
                                       .write = k == 1,
                                       .done = on_done};
        int64_t pushed = 0, at = 200 * PS_PER_NS;
        memset(hit, 0, sizeof hit);
        bool in = false;
        while (sim_now(s) < 40 * PS_PER_US && (!in || victim.trains)) {
            for (int i = 0; i < 16; i++)
                if (!hit[i].trains) {
                    hit[i] =
                        (struct lpddr_request){.address = lpddr_address(&p, 0, 0, 3, 256 * (i % 8)),
                                               .bytes = 64,
                                               .write = k == 2};
                    lpddr_push(d, &hit[i]);
                    pushed++;
                }
            if (!in && sim_now(s) >= at) {
                lpddr_push(d, &victim);
                in = true;
            }
            sim_step(s);
        }
        CHECK(in && !victim.trains);
        int64_t took = victim.pushed - at;
        // Trains of 64 B of one bank: two periods each; and the row's change and turnarounds.
        int64_t trains = k == 0 ? BYPASS * p.window : k == 1 ? PATIENCE * p.high / 64 : p.high / 64;
        int64_t bound =
            (trains + 16) * 2 * lpddr_period(&p) + 4 * (p.ras + p.rp + p.wr + p.rcd) + p.rfc;
        test_note("victim %d waited %.2f us of at most %.2f, %lld others", k, (double)took * 1e-6,
                  (double)bound * 1e-6, (long long)pushed);
        CHECK(took <= bound);
        CHECK(k != 0 || took > 200 * PS_PER_NS); // hits do go first
        lpddr_destroy(d);
        sim_destroy(s);
    }
}

// Idle for long: refreshes are made up for, rows are closed.
static void test_idle(void)
{
    struct lpddr_params p = example(0);
    struct sim *s = sim_create();
    struct lpddr *d;
    struct err e = {0};
    struct lpddr_request r = {.bytes = 32, .done = on_done};
    struct lpddr_stats n;
    CHECK_OK(lpddr_create(&p, s, &d, &e), &e);
    int64_t gap = 10 * PS_PER_MS + p.refi / 2, begin = 0;
    for (int i = 0; i < 3; i++) {
        begin = i * gap;
        sim_run_until(s, begin);
        lpddr_push(d, &r);
        while (sim_step(s))
            ;
        CHECK_INT(r.pushed - begin, p.rcd + p.rl + lpddr_slot(&p));
    }
    lpddr_get_stats(d, &n);
    CHECK_INT(n.refreshes, begin / p.refi); // of the one channel that was used
    CHECK_INT(n.misses, 3);
    lpddr_destroy(d);
    sim_destroy(s);
}

// Each place belongs to one address, and a stream goes round channels and groups.
static void test_map(void)
{
    for (int i = 0; i < LPDDR_SOCS; i++) {
        struct lpddr_params p = example(i);
        int64_t per_row = p.row / p.interleave, places = p.channels * p.banks * 4 * per_row;
        unsigned char *seen = calloc((size_t)places, 1);
        CHECK(seen != NULL);
        int64_t bad = 0;
        for (int64_t k = 0; seen && k < places; k++) {
            struct lpddr_place at = lpddr_map(&p, (uint64_t)(k * p.interleave + 17));
            int64_t index = ((at.row * p.channels + at.channel) * p.banks + at.bank) * per_row +
                            at.column / p.interleave;
            bad += index < 0 || index >= places || seen[index]++ ||
                   at.column % p.interleave != 17 || at.bank / (p.banks / p.groups) != at.group;
        }
        CHECK_INT(bad, 0);
        for (int64_t k = 0; k < 4096; k += p.channels * p.groups) {
            uint64_t units = 0;
            for (int64_t j = 0; j < p.channels * p.groups; j++) {
                struct lpddr_place at = lpddr_map(&p, (uint64_t)((k + j) * p.interleave));
                units |= UINT64_C(1) << (at.channel * p.groups + at.group);
            }
            CHECK(units == UINT64_MAX >> (64 - p.channels * p.groups));
        }
        free(seen);
    }
}

static void refused(struct lpddr_params p, const char *key, const char *part)
{
    struct err e = {0};
    struct lpddr *d;
    struct sim *s = sim_create();
    CHECK(lpddr_create(&p, s, &d, &e) < 0);
    CHECK_STR(e.key, key);
    CHECK_HAS(e.msg, part);
    sim_destroy(s);
}

static void test_options(void)
{
    struct lpddr_params p = example(0), q;
    CHECK_NEAR(lpddr_peak(&p), 68.264e9, 1e6);
    CHECK_NEAR((double)lpddr_slot(&p), 1875, 0);
    CHECK_NEAR((double)lpddr_period(&p), 3750, 0);
#define REFUSED(field, value, part) (q = p, q.field = (value), refused(q, #field, part))
    REFUSED(channels, 3, "power of two");
    REFUSED(banks, 128, "at most 64");
    REFUSED(groups, 32, "not more than banks");
    REFUSED(burst, 24, "power of two");
    REFUSED(interleave, 16, "at least one burst");
    REFUSED(row, 128, "at least interleave");
    REFUSED(ras, p.rcd - 1, "at least rcd");
    REFUSED(faw, p.rrd - 1, "at least rrd");
    REFUSED(rl, 1000, "wl");
    REFUSED(rfc, p.refi, "two refreshes");
    REFUSED(low, p.high, "less than high");
    q = p; // a single bank without groups is a memory too
    q.banks = q.groups = 1;
    q.ccd_l = 0;
    CHECK(run(&q, 64, 500, 256, 256, 0.5, NULL, NULL) > 0);

    struct arena a;
    struct err e = {0};
    arena_init(&a);
    CHECK(conf_read_text("rcd=18", "timing", lpddr_rows, lpddr_n_rows, &q, &a, &e) < 0); // no unit
    arena_fini(&a);
}

TESTS(dram_lpddr, T(test_options), T(test_map), T(test_efficiency), T(test_per_bank),
      T(test_random), T(test_same_bank), T(test_streams), T(test_one_group), T(test_idle_latency),
      T(test_conservation), T(test_starvation), T(test_idle))
