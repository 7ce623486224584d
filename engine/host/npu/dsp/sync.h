// SPDX-License-Identifier: GPL-3.0-or-later
// Loads and stores that order memory between the DSP and the host. Clang compiles C11 atomics of
// acquire and release order to plain accesses on Hexagon, so there the barrier is written out;
// an aligned access of 64 bits is one piece in either case.
#ifndef ENGINE_HOST_NPU_DSP_SYNC_H
#define ENGINE_HOST_NPU_DSP_SYNC_H

#include <stdint.h>

#ifdef __hexagon__
static inline void npu_barrier(void)
{
    __asm__ volatile("barrier" ::: "memory");
}
static inline uint64_t npu_load_acquire(const uint64_t *p)
{
    uint64_t v;
    __asm__ volatile("%0 = memd(%1+#0)" : "=r"(v) : "r"(p) : "memory");
    npu_barrier();
    return v;
}
static inline uint32_t npu_load_acquire32(const uint32_t *p)
{
    uint32_t v;
    __asm__ volatile("%0 = memw(%1+#0)" : "=r"(v) : "r"(p) : "memory");
    npu_barrier();
    return v;
}
static inline void npu_store_release(uint64_t *p, uint64_t v)
{
    npu_barrier();
    __asm__ volatile("memd(%0+#0) = %1" ::"r"(p), "r"(v) : "memory");
}
static inline void npu_pause(void)
{
    __asm__ volatile("pause(#8)" ::: "memory");
}
#else
static inline uint64_t npu_load_acquire(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline uint32_t npu_load_acquire32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline void npu_store_release(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}
static inline void npu_pause(void)
{
}
#endif

#endif
