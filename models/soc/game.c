// SPDX-License-Identifier: GPL-3.0-or-later
// A renderer as the GPU sees it:
//
//     every 1/rate s: a frame is wanted --(a free buffer? else dropped)--> its kernels submitted
//     kernel --(turn, and change or wake)--> traffic through its port --> next kernel
//     last kernel --> shown, late if its successor was due already; the buffer is free
//
// All kernels of a frame are submitted at once, so they share one ticket, and whatever the engine
// submits later comes after them (turn.c). A frame waits for what the engine has submitted before,
// and it holds its buffer while it waits: that is how a flooded queue turns into dropped frames.
//
// The game is a client of the DRAM of its own, and its kernels take as long as the engine's would:
// at the clock of the moment, longer when the bandwidth is taken. Its processor time is not
// modelled: a renderer's threads run on cores that the engine does not use.
//
// The frame clock alone keeps nobody waiting: it is a background event (control.h).
//
// Invariant: wanted = shown + dropped + waiting; the bytes of complete kernels are those that the
// port moved for the game.
#include "models/soc/game.h"

#include <math.h>
#include "models/soc/meter.h"

#define ROW(field, kind, u, lo, hi, def, text)                                                     \
    {                                                                                              \
        .name = #field, .type = kind, .unit = u, .min = lo, .max = hi, .fallback = def,            \
        .doc = text, .offset = offsetof(struct game_params, field)                                 \
    }

const struct conf_row game_rows[] = {
    ROW(rate, CONF_REAL, UNIT_NONE, 0, 1000, "0.0",
        "frames per second that a game beside the engine wants to show; 0: no game"),
    ROW(work, CONF_INT, UNIT_TIME, 1e6, 1e12, "6 ms", "GPU time of a frame, alone, at full clock"),
    ROW(kernels, CONF_INT, UNIT_NONE, 1, 1000, "8",
        "equal parts of a frame, none of which is interrupted"),
    ROW(bytes, CONF_INT, UNIT_SIZE, 0, 1e11, "40 MB", "memory traffic of a frame"),
    ROW(buffers, CONF_INT, UNIT_NONE, 1, GAME_MAX_BUFFERS, "2",
        "frames submitted and not yet shown; without a free buffer a frame is dropped"),
    ROW(change, CONF_INT, UNIT_TIME, 0, 1e10, "50 us",
        "time of the GPU to change between game and engine"),
    {.name = "priority",
     .type = CONF_ENUM,
     .fallback = "equal",
     .choices = "equal|high",
     .doc = "equal: in order of submission with the engine's kernels; high: before them",
     .offset = offsetof(struct game_params, priority)},
};
const size_t game_n_rows = sizeof game_rows / sizeof game_rows[0];

enum { NOTE = 16 }; // kind of its notes in the digest
enum { ENGINE_RANK = 1 };
static const uint64_t FRAME = UINT64_C(1) << 40; // address of the frame's data, behind the engine's
_Static_assert((int)GAME_CLIENT < (int)DRAM_USERS, "the game needs a port of its own");

static struct sim *sim_of(const struct game *g)
{
    return g->gpu->host->sim;
}

static int64_t time_of(const struct game *g, uint64_t frame)
{
    return (int64_t)((double)frame * (double)PS_PER_S / g->p.rate + 0.5);
}

// Bytes of a frame that the kernels before `kernel` move.
static int64_t bytes_before(const struct game *g, int64_t kernel)
{
    return (int64_t)((double)g->p.bytes * (double)kernel / (double)g->p.kernels);
}

static void trace(const struct game *g, const char *name, int64_t begin, int64_t end)
{
    const struct meter *t = g->gpu->host->meter;
    if (t)
        trace_slice(t->sink, t->game, name, begin, end, 0);
}

static void ended(struct game *g)
{
    struct sim *s = sim_of(g);
    int64_t now = sim_now(s);
    g->executing = false;
    g->stats.busy_ps += now - g->since;
    g->stats.bytes += (double)(bytes_before(g, g->kernel + 1) - bytes_before(g, g->kernel));
    g->gpu->ended = now;
    trace(g, "frame", g->since, now);
    if (g->gpu->host->meter)
        meter_device(g->gpu->host->meter, g->gpu->base.index, &g->gpu->clock, now, false);
    if (++g->kernel == g->p.kernels) {
        g->stats.shown++;
        g->stats.late += now > g->frame[g->first].due;
        sim_note(s, NOTE, g->stats.shown);
        g->kernel = 0;
        g->first = (g->first + 1) % (int)g->p.buffers;
        g->waiting--;
    }
    turn_pass(&g->turn, &g->client, g->waiting ? g->frame[g->first].ticket : 0);
}

static void on_moved(struct dram_transfer *t)
{
    ended(SIM_OWNER(t, struct game, transfer));
}

static void on_delay(struct sim *s, struct sim_event *e)
{
    (void)s;
    ended(SIM_OWNER(e, struct game, timer));
}

static void on_begin(struct sim *s, struct sim_event *e)
{
    struct game *g = SIM_OWNER(e, struct game, timer);
    int64_t offset = bytes_before(g, g->kernel), bytes = bytes_before(g, g->kernel + 1) - offset;
    int64_t compute = agent_at_clock(g->gpu, g->p.work / g->p.kernels);
    if (bytes <= 0) {
        g->timer.fire = on_delay;
        sim_schedule(s, &g->timer, sim_now(s) + compute);
        return;
    }
    g->transfer.address = FRAME + (uint64_t)offset;
    g->transfer.bytes = bytes;
    g->transfer.rate = compute ? (double)bytes * (double)PS_PER_S / (double)compute : INFINITY;
    g->transfer.done = on_moved;
    dram_start(g->port, &g->transfer);
}

static void go(struct turn_client *c, bool changed)
{
    struct game *g = SIM_OWNER(c, struct game, client);
    struct sim *s = sim_of(g);
    g->executing = true;
    g->since = sim_now(s);
    if (g->gpu->host->meter)
        meter_device(g->gpu->host->meter, g->gpu->base.index, &g->gpu->clock, g->since, true);
    g->timer.fire = on_begin;
    sim_schedule(s, &g->timer, agent_rouse(g->gpu, changed ? g->p.change : 0, 0));
}

static void on_tick(struct sim *s, struct sim_event *e)
{
    struct game *g = SIM_OWNER(e, struct game, tick);
    control_foreground(g->gpu->host);
    int64_t next = time_of(g, ++g->begun);
    if (g->waiting == g->p.buffers) {
        g->stats.dropped++;
        trace(g, "dropped", sim_now(s), next);
    } else {
        int at = (g->first + g->waiting++) % (int)g->p.buffers;
        g->frame[at].due = next;
        g->frame[at].ticket = turn_ticket(&g->turn);
        if (g->waiting == 1)
            turn_ask(&g->turn, &g->client, g->frame[at].ticket);
    }
    control_background(g->gpu->host, &g->tick, next);
}

void game_start(struct game *g, const struct game_params *p, struct agent *gpu,
                struct dram_port *port)
{
    *g = (struct game){.p = *p, .gpu = gpu, .port = port, .client = {.go = go}};
    g->stats.rate = p->rate;
    if (p->rate <= 0)
        return;
    g->client.rank = p->priority == GAME_HIGH ? ENGINE_RANK - 1 : ENGINE_RANK;
    sim_event_init(&g->tick, on_tick);
    sim_event_init(&g->timer, on_begin);
    turn_init(&g->turn, sim_of(g));
    turn_join(&g->turn, &g->client);
    agent_share(gpu, &g->turn, ENGINE_RANK, p->change);
    control_background(gpu->host, &g->tick, sim_now(sim_of(g)));
}

void game_frames(const struct game *g, struct frames *out)
{
    *out = g->stats;
    out->busy_ps = game_busy(g);
}

int64_t game_busy(const struct game *g)
{
    return g->stats.busy_ps + (g->executing ? sim_now(sim_of(g)) - g->since : 0);
}
