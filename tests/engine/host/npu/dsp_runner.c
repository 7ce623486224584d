// SPDX-License-Identifier: GPL-3.0-or-later
// Runs cases in the emulator: reads images of arenas from standard input, lets the skel execute
// each one's messages, writes the images back. A freestanding executable: five system calls, no
// library.
#include "engine/host/npu/dsp/dsp.h"
#include "engine/host/npu/dsp/skel.h"

enum { READ = 63, WRITE = 64, EXIT = 93, CLOCK_GETTIME64 = 403 };

static uint8_t arena[96 << 20] __attribute__((aligned(4096)));

static int32_t call(int32_t number, int32_t a, int32_t b, int32_t c)
{
    register int32_t r6 __asm__("r6") = number;
    register int32_t r0 __asm__("r0") = a;
    register int32_t r1 __asm__("r1") = b;
    register int32_t r2 __asm__("r2") = c;
    __asm__ volatile("trap0(#1)" : "+r"(r0) : "r"(r1), "r"(r2), "r"(r6) : "memory");
    return r0;
}

static _Noreturn void leave(int32_t status)
{
    for (;;)
        call(EXIT, status, 0, 0);
}

// Whole pieces; 0 when the input ends before the first byte.
static int get(void *to, uint32_t n)
{
    uint8_t *p = to;
    for (uint32_t at = 0; at < n;) {
        int32_t got = call(READ, 0, (int32_t)(p + at), (int32_t)(n - at));
        if (got <= 0 && at == 0)
            return 0;
        if (got <= 0)
            leave(2);
        at += (uint32_t)got;
    }
    return 1;
}

static void put(const void *from, uint32_t n)
{
    const uint8_t *p = from;
    for (uint32_t at = 0; at < n;) {
        int32_t put = call(WRITE, 1, (int32_t)(p + at), (int32_t)(n - at));
        if (put <= 0)
            leave(3);
        at += (uint32_t)put;
    }
}

static uint64_t now(void)
{
    int64_t t[2] = {0, 0};
    call(CLOCK_GETTIME64, 2, (int32_t)t, 0); // of this process: it may have to share a processor
    return (uint64_t)t[0] * 1000000000u + (uint64_t)t[1];
}

int HAP_mmap_get(int fd, void **address, uint64_t *physical)
{
    *address = arena;
    *physical = 0;
    return fd != 0;
}

int HAP_mmap_put(int fd)
{
    return fd != 0;
}

// Nobody looks at the times.
uint64_t HAP_perf_get_qtimer_count(void)
{
    return 0;
}

static void must(int rc)
{
    if (rc != 0)
        leave(4);
}

void _start(void);
void _start(void)
{
    uint64_t size;
    struct {
        struct npu_ran ran;
        uint64_t ns;
    } result;
    while (get(&size, sizeof size)) {
        union npu_remote_arg arg[3];
        struct npu_map map = {.size = size};
        struct npu_run run = {.idle_turns = 1};
        if (size > sizeof arena || !get(arena, (uint32_t)size))
            leave(5);
        must(partita_npu_skel_handle_invoke(0, NPU_SCALARS(METHOD_OPEN, 2, 0, 0, 1), arg));
        arg[0].buf.pv = &map;
        arg[0].buf.n = sizeof map;
        must(partita_npu_skel_handle_invoke(1, NPU_SCALARS(METHOD_MAP, 1, 0, 0, 0), arg));
        arg[0].buf.pv = &run;
        arg[0].buf.n = sizeof run;
        arg[1].buf.pv = &result.ran;
        arg[1].buf.n = sizeof result.ran;
        const uint64_t begin = now();
        must(partita_npu_skel_handle_invoke(1, NPU_SCALARS(METHOD_RUN, 1, 1, 0, 0), arg));
        result.ns = now() - begin;
        must(partita_npu_skel_handle_invoke(1, NPU_SCALARS(METHOD_CLOSE, 0, 0, 1, 0), arg));
        put(&result, sizeof result);
        put(arena, (uint32_t)size);
    }
    leave(0);
}
