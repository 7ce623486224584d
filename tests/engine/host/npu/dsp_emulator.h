// SPDX-License-Identifier: GPL-3.0-or-later
// Runs cases in the emulated DSP, one process per call.
#ifndef TESTS_ENGINE_HOST_NPU_DSP_EMULATOR_H
#define TESTS_ENGINE_HOST_NPU_DSP_EMULATOR_H

#include <stdio.h>
#include <unistd.h>
#include "tests/engine/host/npu/dsp_case.h"

#define DSP_RUNNER "build/hexagon/dsp_runner"
#define DSP_QEMU   "build/hexagon/qemu/usr/bin/qemu-hexagon"

static inline int dsp_emulator_there(void)
{
    return access(DSP_RUNNER, X_OK) == 0 && access(DSP_QEMU, X_OK) == 0;
}

// Replaces the case's image by what the DSP leaves. Negative: the emulator did not do it.
static inline int dsp_emulate(struct dsp_case *c, struct dsp_result *r)
{
    FILE *in = tmpfile(), *out = tmpfile();
    int ok = in && out && fwrite(&c->size, sizeof c->size, 1, in) == 1 &&
             fwrite(c->mem, 1, c->size, in) == c->size && fflush(in) == 0;
    if (ok) {
        char command[256];
        lseek(fileno(in), 0, SEEK_SET);
        snprintf(command, sizeof command, "%s %s <&%d >&%d", DSP_QEMU, DSP_RUNNER, fileno(in),
                 fileno(out));
        ok = system(command) == 0 && fseek(out, 0, SEEK_SET) == 0 &&
             fread(r, sizeof *r, 1, out) == 1 && fread(c->mem, 1, c->size, out) == c->size;
    }
    if (in)
        fclose(in);
    if (out)
        fclose(out);
    return ok ? 0 : -1;
}

#endif
