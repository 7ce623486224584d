// SPDX-License-Identifier: GPL-3.0-or-later
// A task is cut into chunks of equal work. Chunk i is computed when its data have arrived and chunk
// i - 1 is done; its results are written while later ones are computed. The stream of reads runs
// ahead by some chunks (registers and caches hold so much), so a task that is limited by memory
// keeps the port's window full, and one that is limited by arithmetic asks for data no faster than
// it uses them. What is not overlapped is the first chunk's way in and the last one's way out; the
// filling and draining of the device itself is in the closed form (models/soc/gpu.c).
//
// A chunk stands for a part of all the waves that are resident, which walk through their rows
// together; operands are read side by side, each from its own region.
//
// Invariant: the chunks' bytes and times add up to the task's, whatever their number.
#include "models/soc/pipe.h"

#include <math.h>
#include "models/soc/agent.h"

int pipe_chunks(int64_t bytes)
{
    int64_t n = bytes / PIPE_LEAST;
    n = n < PIPE_FEW ? n : bytes / PIPE_CHUNK < PIPE_FEW ? PIPE_FEW : bytes / PIPE_CHUNK;
    return n < 1 ? 1 : (int)n;
}

// Where piece i of n begins, on a boundary of requests.
static int64_t cut(const struct pipe *p, int64_t total, int i)
{
    int64_t unit = p->agent->dram->p.request;
    return i == p->chunks ? total : (int64_t)((__int128)total * i / p->chunks) / unit * unit;
}

static void advance(struct pipe *p);

static void on_read(struct dram_transfer *t)
{
    struct pipe_move *m = (struct pipe_move *)t;
    if (--m->pipe->coming[m->place] == 0)
        advance(m->pipe);
}

static void on_written(struct dram_transfer *t)
{
    struct pipe_move *m = (struct pipe_move *)t;
    m->pipe->writing[m->place] = false;
    m->pipe->n_writing--;
    advance(m->pipe);
}

// Starts moving chunk i's part of an operand; false: it has none.
static bool move(struct pipe *p, struct pipe_move *m, int i, uint64_t address, int64_t total,
                 bool write, bool cached)
{
    int64_t begin = cut(p, total, i), bytes = cut(p, total, i + 1) - begin;
    if (!bytes)
        return false;
    m->pipe = p;
    m->place = i % PIPE_AHEAD;
    m->t.address = address + (uint64_t)begin;
    m->t.bytes = bytes;
    m->t.written = write ? bytes : 0;
    m->t.rate = INFINITY;
    m->t.cached = cached;
    m->t.done = write ? on_written : on_read;
    dram_start(&p->agent->port, &m->t);
    return true;
}

static void on_computed(struct sim *s, struct sim_event *e)
{
    (void)s;
    struct pipe *p = SIM_OWNER(e, struct pipe, done);
    int i = p->computed++, place = i % PIPE_AHEAD;
    p->busy = false;
    if (move(p, &p->writes[place], i, p->at.write, p->written, true, true)) {
        p->writing[place] = true;
        p->n_writing++;
    }
    advance(p);
}

static void advance(struct pipe *p)
{
    while (p->fetched < p->chunks && p->fetched < p->computed + PIPE_AHEAD) {
        int i = p->fetched++, place = i % PIPE_AHEAD;
        p->coming[place] = move(p, &p->reads[place], i, p->at.read, p->read, false, true);
        p->coming[place] += move(p, &p->weights[place], i, p->at.weight, p->weight, false, false);
    }
    if (p->busy)
        return;
    if (p->computed == p->chunks) {
        if (!p->n_writing)
            agent_complete(p->agent);
        return;
    }
    int i = p->computed, place = i % PIPE_AHEAD;
    if (p->coming[place] || p->writing[place])
        return;
    struct sim *s = p->agent->host->sim;
    int64_t ps = (int64_t)((__int128)p->compute * (i + 1) / p->chunks -
                           (__int128)p->compute * i / p->chunks);
    p->busy = true;
    sim_schedule(s, &p->done, sim_now(s) + agent_at_clock(p->agent, ps));
}

void pipe_reset(struct pipe *p, struct agent *a)
{
    *p = (struct pipe){.agent = a};
    sim_event_init(&p->done, on_computed);
}

void pipe_start(struct pipe *p, const struct operands *at, int64_t compute, int64_t weight,
                int64_t read, int64_t written)
{
    p->at = *at;
    p->compute = compute;
    p->weight = weight;
    p->read = read;
    p->written = written;
    p->chunks = pipe_chunks(weight + read + written);
    p->fetched = p->computed = p->n_writing = 0;
    advance(p);
}
