// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the Hexagon device: the session with the DSP (memory, messages, completion, failure), what
// lies in its memory (weights, vectors, rotation angles), and the device that is made of both.
#ifndef ENGINE_HOST_NPU_HEXAGON_H
#define ENGINE_HOST_NPU_HEXAGON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "engine/host/host.h"
#include "engine/host/npu/fastrpc.h"
#include "engine/host/npu/layout.h"

struct hexagon_options {
    bool enabled, unsigned_pd, flag, exact;
    const char *library, *skel;
    int domain;
    struct conf_int_list sizes, pin;
    int64_t arena, window, memory, max_graphs, idle_turns, spin, timeout;
};

// ---- the session ----

// One allocation that host and DSP share. Its id is its place in the table.
struct hexagon_arena {
    char *base; // NULL: the id is free
    int fd;
    int64_t size;
    bool mapped;   // the DSP can reach it now
    bool pinned;   // it must stay so: the ring, buffers of the machine, graphs
    uint64_t last; // message that named it last
};

struct hexagon_session {
    struct hexagon_options opt;
    struct fastrpc rpc;
    uint64_t handle;
    struct npu_info info;
    struct hexagon_arena arena[NPU_MAX_ARENAS];
    int64_t mapped; // bytes
    struct npu_ring *ring;
    struct npu_message *message; // [NPU_SLOTS]
    char label[NPU_SLOTS][48];   // "L3 gate_up": for errors
    uint64_t head;               // last message submitted

    // Completion. Where the flag word is visible, ring->done is the truth; else what RUN returned.
    _Atomic bool flag;
    _Atomic uint64_t returned;
    _Atomic uint32_t done_epoch; // waiters sleep on it
    _Atomic int waiters;

    // The thread that sits in RUN.
    pthread_t thread;
    bool running;                // it was started
    _Atomic uint32_t idle_turns; // for the next RUN; 0: it returns only when asked to
    _Atomic uint32_t work_epoch;
    _Atomic int parked;
    _Atomic bool stop;

    _Atomic bool failed;
    pthread_mutex_t fail_lock;
    struct err error;         // under fail_lock until `failed`; constant afterwards
    _Atomic int64_t progress; // ps: when completion was last seen to move, for the watchdog
    _Atomic uint64_t seen;    // what it was then
    _Atomic int64_t looked;   // ps: when the watchdog was last asked
};

// Opens the driver library and the DSP, starts the service thread, tries the shared memory.
int hexagon_open(const struct hexagon_options *o, struct hexagon_session *s, struct err *e);
void hexagon_close(struct hexagon_session *s);

// A new arena of at least `size` bytes, zeroed, not mapped.
int hexagon_arena_new(struct hexagon_session *s, int64_t size, bool pinned, uint32_t *id,
                      struct err *e);
// Takes memory of hexagon_memory() as an arena of its own.
int hexagon_arena_adopt(struct hexagon_session *s, void *base, int64_t size, uint32_t *id,
                        struct err *e);
// Makes the DSP reach it. Where the session's room for mappings is full, arenas that have not been
// named for longest go first.
int hexagon_arena_map(struct hexagon_session *s, uint32_t id, struct err *e);
// Waits for the messages that name it, then takes it from the DSP; `release`: and frees it.
void hexagon_arena_drop(struct hexagon_session *s, uint32_t id, bool release);
void *hexagon_memory(struct hexagon_session *s, int64_t size); // zeroed; NULL: none

// Places in arenas of one kind.
enum { HEXAGON_PIECES = 256 };
struct hexagon_pool {
    int n;
    struct hexagon_piece {
        uint32_t id;
        int64_t used, live; // bytes: handed out so far, of which not given back
    } piece[HEXAGON_PIECES];
};
struct hexagon_place {
    uint32_t id;
    int64_t offset;
};
static inline int64_t hexagon_pool_bytes(int64_t size) // that a place takes up
{
    return (size + NPU_LINE - 1) / NPU_LINE * NPU_LINE;
}
int hexagon_pool_take(struct hexagon_session *s, struct hexagon_pool *p, int64_t size,
                      struct hexagon_place *out, struct err *e);
// Nothing that names the place may be under way.
void hexagon_pool_give(struct hexagon_session *s, struct hexagon_pool *p,
                       const struct hexagon_place *at, int64_t size);

// The next message, to be filled; its arenas must be mapped. Blocks only while the ring is full.
int hexagon_message(struct hexagon_session *s, struct npu_message **out, struct err *e);
// Hands it over. `label` is for errors. Returns its number.
uint64_t hexagon_submit(struct hexagon_session *s, const char *label);

uint64_t hexagon_done(const struct hexagon_session *s); // last message complete
int hexagon_failure(struct hexagon_session *s, struct err *e);
// Asks whether the DSP has stopped moving for longer than it may.
int hexagon_watch(struct hexagon_session *s, struct err *e);
int hexagon_wait(struct hexagon_session *s, uint64_t seq, int turns, struct err *e);
int hexagon_drain(struct hexagon_session *s, struct err *e);

// ---- what lies in its memory ----

struct hexagon_weights; // engine/host/npu/hexagon_weights.c
struct hexagon_weights *hexagon_weights_create(struct hexagon_session *s, int64_t *resident,
                                               int64_t limit); // NULL: no memory
void hexagon_weights_destroy(struct hexagon_weights *w);
// Rows [m0, m1) of a tensor, packed; compared with their source and packed again if it changed.
int hexagon_weights_load(struct hexagon_weights *w, const struct tensor *t, int64_t m0, int64_t m1,
                         struct err *e);
// Fills part i of a message and maps its arena. Loads what is missing. m0 = m1: no row of the part
// is used.
int hexagon_weights_use(struct hexagon_weights *w, const struct tensor *t, int64_t m0, int64_t m1,
                        struct npu_message *m, int i, struct err *e);
// A vector as F32 (norm, bias).
int hexagon_weights_vector(struct hexagon_weights *w, const struct tensor *t,
                           struct npu_tensor *out, struct err *e);
// Rotations of the positions [0, n).
int hexagon_weights_angles(struct hexagon_weights *w, const struct model *model, int n,
                           struct npu_tensor *out, struct err *e);

#endif
