// SPDX-License-Identifier: GPL-3.0-or-later
// The golden settings for machines with a Hexagon DSP: the skel natively and under the emulator.
#ifndef TESTS_GOLDEN_HEXAGON_RIG_H
#define TESTS_GOLDEN_HEXAGON_RIG_H

#include "tests/golden/tokens_rig.h"
#include "tests/hexagon/fixture.h"

// Every scheme that a machine of this kind offers, tried on the machine itself.
static const char *const hexagon_schemes[] = {"driver", "event", "poll", "sleep_poll",
                                              "queue_order"};
enum { HEXAGON_SCHEMES = sizeof hexagon_schemes / sizeof hexagon_schemes[0] };

// Devices of such a machine, as overrides: the DSP, and the GPU or nothing beside it. Whoever runs
// the tests may stop them all for a while, which is not the DSP's fault: a long timeout.
static inline const char *hexagon_machine(enum fixture_kind kind, bool gpu, const char *more)
{
    static char overrides[1000];
    const char *library = fixture_library(kind); // NULL: this build has none, and nothing is run
    snprintf(overrides, sizeof overrides,
             "cpu.enabled=false;%shexagon.library=%s;hexagon.idle_turns=2000;hexagon.spin=100;"
             "hexagon.timeout=600 s%s%s",
             gpu ? "" : "gpu.enabled=false;", library ? library : "", more ? ";" : "",
             more ? more : "");
    return overrides;
}

static inline void hexagon_setting(enum fixture_kind kind, bool gpu, const char *more,
                                   const char *policy, const char *sync, int prefill, int models)
{
    const char *library = fixture_need(kind);
    if (!library || (gpu && gpu_absent()))
        return;
    run_setting((struct setting){.machine = "host",
                                 .overrides = hexagon_machine(kind, gpu, more),
                                 .policy = policy,
                                 .sync = sync,
                                 .busy = gpu ? "gpu npu" : "npu",
                                 .tolerance = {F32_TOLERANCE, INT8_TOLERANCE},
                                 .prefill = prefill,
                                 .brief = true,
                                 .models = models});
    CHECK_INT(fixture_left(library), 0);
}

#endif
