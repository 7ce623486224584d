// SPDX-License-Identifier: GPL-3.0-or-later
// The mailbox between the stand-in for the vendor's library and the process that plays the DSP. Two
// lanes, each with one call under way at most: RUN blocks its lane, everything else goes through
// the other one, as concurrent invocations do on a phone.
#ifndef TESTS_HEXAGON_STANDIN_H
#define TESTS_HEXAGON_STANDIN_H

#include <stdint.h>

enum { STANDIN_MAGIC = 0x44535021, STANDIN_FD = 3, STANDIN_LANES = 2 };
enum { LANE_RUN, LANE_OTHERS };
enum { CALL_NONE, CALL_MADE, CALL_ANSWERED };           // states
enum { CALL_INVOKE, CALL_MAP, CALL_UNMAP, CALL_LEAVE }; // kinds
enum { STANDIN_BUFFERS = 4, STANDIN_BYTES = 2048 };

struct standin_call {
    uint32_t state; // futex
    uint32_t kind;
    uint32_t scalars;
    int32_t rc;
    uint64_t handle;
    uint64_t size;                   // CALL_MAP
    int32_t fd;                      // of the host, CALL_MAP and CALL_UNMAP
    uint32_t bytes[STANDIN_BUFFERS]; // of each buffer
    uint32_t reserved;
    uint8_t data[STANDIN_BYTES]; // buffers, each from a multiple of 8 on
};

struct standin_box {
    uint32_t magic;
    int32_t host;       // its process id
    uint32_t die_at;    // fault: the number of the message in which the DSP dies; 0: none
    uint32_t die_after; // us after its beginning; 0: at its end
    uint32_t messages;  // executed so far
    uint32_t stale;     // fault: nobody sees what the DSP writes before RUN returns
    uint32_t reserved[2];
    struct standin_call lane[STANDIN_LANES];
};
_Static_assert(sizeof(struct standin_call) == 56 + STANDIN_BYTES, "the same on both sides");
_Static_assert(sizeof(struct standin_box) == 32 + 2 * sizeof(struct standin_call), "likewise");

#endif
