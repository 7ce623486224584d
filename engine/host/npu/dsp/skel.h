// SPDX-License-Identifier: GPL-3.0-or-later
// The one entry point of the skel, and what it asks of the process that loads it. On a DSP the
// FastRPC dispatcher calls the first and the run-time library has the others; elsewhere whoever
// links the skel's objects provides them.
#ifndef ENGINE_HOST_NPU_DSP_SKEL_H
#define ENGINE_HOST_NPU_DSP_SKEL_H

#include <stddef.h>
#include <stdint.h>

union npu_remote_arg {
    struct {
        void *pv;
        size_t n; // bytes
    } buf;
    uint64_t h64;
};

// Of `scalars`: method << 24 | in buffers << 16 | out buffers << 8 | in handles << 4 | out handles;
// the arguments come in that order.
#define NPU_SCALARS(method, in, out, in_handles, out_handles)                                      \
    ((uint32_t)(method) << 24 | (uint32_t)(in) << 16 | (uint32_t)(out) << 8 |                      \
     (uint32_t)(in_handles) << 4 | (uint32_t)(out_handles))

// What invoke returns, in the platform's numbers.
enum npu_remote_error {
    NPU_REMOTE_OK,
    NPU_REMOTE_FAILED = 1,
    NPU_REMOTE_BAD_PARAMETER = 14,
    NPU_REMOTE_UNSUPPORTED = 20,
};

// One session per process: a second open fails until the first is closed.
__attribute__((visibility("default"))) int
partita_npu_skel_handle_invoke(uint64_t handle, uint32_t scalars, union npu_remote_arg *arg);

int HAP_mmap_get(int fd, void **address, uint64_t *physical); // 0: mapped
int HAP_mmap_put(int fd);
uint64_t HAP_perf_get_qtimer_count(void); // NPU_CLOCK_HZ ticks per second

#endif
