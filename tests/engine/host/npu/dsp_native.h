// SPDX-License-Identifier: GPL-3.0-or-later
// The skel of this process, and the emulator's.
#ifndef TESTS_ENGINE_HOST_NPU_DSP_NATIVE_H
#define TESTS_ENGINE_HOST_NPU_DSP_NATIVE_H

#include "engine/host/npu/dsp/skel.h"
#include "tests/engine/host/npu/dsp_case.h"
#include "tests/engine/host/npu/dsp_emulator.h"

// By fd: what HAP_mmap_get gives.
extern void *dsp_memory[4];

static inline int dsp_call(uint32_t scalars, void *a, size_t a_n, void *b, size_t b_n)
{
    union npu_remote_arg arg[3] = {{.buf = {a, a_n}}, {.buf = {b, b_n}}};
    return partita_npu_skel_handle_invoke(1, scalars, arg);
}

static inline int dsp_map(uint32_t id, int fd, uint64_t size)
{
    struct npu_map map = {id, fd, size};
    return dsp_call(NPU_SCALARS(METHOD_MAP, 1, 0, 0, 0), &map, sizeof map, NULL, 0);
}

static inline int dsp_run(uint32_t idle_turns, struct npu_ran *ran)
{
    struct npu_run run = {idle_turns, 0};
    return dsp_call(NPU_SCALARS(METHOD_RUN, 1, 1, 0, 0), &run, sizeof run, ran, sizeof *ran);
}

static inline int dsp_session(void)
{
    return dsp_call(NPU_SCALARS(METHOD_OPEN, 2, 0, 0, 1), NULL, 0, NULL, 0);
}

static inline int dsp_end(void)
{
    return dsp_call(NPU_SCALARS(METHOD_CLOSE, 0, 0, 1, 0), NULL, 0, NULL, 0);
}

// Executes a case here. 0: it ran, whatever came of its messages.
static inline int dsp_run_here(const struct dsp_case *c, struct npu_ran *ran)
{
    dsp_memory[0] = c->mem;
    int rc = dsp_session();
    rc = rc ? rc : dsp_map(0, 0, c->size);
    rc = rc ? rc : dsp_run(1, ran);
    return dsp_end() ? -1 : rc;
}

#endif
