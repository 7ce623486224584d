// SPDX-License-Identifier: GPL-3.0-or-later
// The reference operators: slow, obvious, F32 on host buffers. Every device is tested against them;
// the simulated devices carry them when values are asked for.
#ifndef ENGINE_REF_H
#define ENGINE_REF_H

#include "engine/device.h"

// Executes one task on the buffers' host memory. `scratch` holds at least ref_scratch(model)
// floats.
void ref_run(const struct task *t, float *scratch);
size_t ref_scratch(const struct model *m, int n_ctx);

// cos and sin of the rotation of pair i (0 <= i < dim / 2) at position pos, scaling included.
void rope_angle(const struct rope *r, int pos, int i, float *cos_out, float *sin_out);

#endif
