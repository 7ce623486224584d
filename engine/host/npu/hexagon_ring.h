// SPDX-License-Identifier: GPL-3.0-or-later
// Between the files of the session: the ring, its service thread, and failure.
#ifndef ENGINE_HOST_NPU_HEXAGON_RING_H
#define ENGINE_HOST_NPU_HEXAGON_RING_H

#include "engine/host/npu/hexagon.h"

// Makes arena 0 with the ring in it, and the thread that sits in RUN / ends them.
int hexagon_ring_start(struct hexagon_session *s, struct err *e);
void hexagon_ring_stop(struct hexagon_session *s);

uint64_t hexagon_flag(const struct hexagon_session *s); // ring->done
uint64_t hexagon_head(const struct hexagon_session *s); // ring->head
// Asks RUN to return at message seq, or earlier if somebody asked for an earlier one.
void hexagon_arm(struct hexagon_session *s, uint64_t seq);
void hexagon_announce(_Atomic uint32_t *epoch, _Atomic int *sleepers);

// "npu: Hexagon DSP <text> while executing <what was under way>", once; wakes everybody.
void hexagon_fail(struct hexagon_session *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void hexagon_kill(struct hexagon_session *s);

#endif
