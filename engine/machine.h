// SPDX-License-Identifier: GPL-3.0-or-later
// The machine seam: devices, a clock, and the primitives from which synchronisation is written.
// Two machines at birth: `host` (real devices, real clock) and `soc` (models, virtual clock).
//
// Time passes only in here: on a simulated machine submitting, polling, sleeping, waking and
// preparing cost what the model says, and waiting steps the event loop.
#ifndef ENGINE_MACHINE_H
#define ENGINE_MACHINE_H

#include "base/arena.h"
#include "base/conf.h"
#include "base/trace.h"
#include "engine/device.h"

struct energy {
    double total;                       // J; NaN where unknown
    double device[MACHINE_MAX_DEVICES]; // J
    double dram, control, rest;         // J: memory, the polling/sleeping control core, static
    double temperature;                 // degC, the highest; NaN where unknown
    double throttled;                   // share of the time at lowered clocks because of it
};

// What somebody else who draws on the machine's GPU got: the frames of a game. All zero where
// nobody does.
struct frames {
    double rate;             // wanted per second
    uint64_t shown, dropped; // in time or late but shown; not even started for want of a place
    uint64_t late;           // of those shown: after their period
    int64_t busy_ps;         // GPU time that they took
    double bytes;            // memory traffic of their complete kernels
};

// Classes of CPU cores that the control plane (the executor's thread) may run on.
enum core_class { CORE_ANY, CORE_BIG, CORE_MIDDLE, CORE_LITTLE, CORE_CLASSES };

// Work that comes again. A caller whose next steps follow from nothing but what it tells here and
// from how the machine answers may say so. A machine that knows its own state completely can then
// tell that all has been like this before, and get at once to where it led. What happens is the
// same, bit for bit; hardware has no such thing.
struct machine_replay {
    // The next of a series of equal sections of work (the layers of a step) begins; index 0 begins
    // a series, and `left` sections are to come, this one included. `state`: what the caller will
    // go by, in terms relative to now and to its last tickets. Returns how many sections the
    // machine has carried out just now, a multiple of *period: each as the one *period before it.
    // The caller goes on behind them.
    int (*section)(struct machine *m, int index, int left, const void *state, size_t size,
                   int *period);
    // A number for a description, the same whenever the machine is told the same bytes: short for
    // what is long and comes often in `state`. 0: not now, leave it out and recall nothing.
    uint32_t (*number)(struct machine *m, const void *bytes, size_t size);
    // A pass begins: what the caller will do follows from `state` (relative, as above; with all
    // that distinguishes this pass from others) and from the machine, and the machine is ready for
    // it (its static graphs are prepared). true: the machine has been here before and is now where
    // it was when that pass ended; `result` is what `learn` was given then. false: the caller makes
    // the pass and calls `learn`, or does not if the pass fails.
    bool (*recall)(struct machine *m, const void *state, size_t size, void *result,
                   size_t n_result);
    void (*learn)(struct machine *m, const void *result, size_t n_result);
};

struct machine_ops {
    const char *name; // "host", "soc"
    const char *doc;
    int64_t (*now)(struct machine *m);            // ps
    void (*sleep)(struct machine *m, int64_t ps); // at least so long; granularity is the machine's
    void (*pause)(struct machine *m);             // one turn of a polling loop
    // Moves the control plane to a class of cores. A machine with one class only ignores it.
    void (*place)(struct machine *m, enum core_class core);
    // The flag word of a device: the ticket that it last completed, as visible to the host now.
    // Only for devices with caps.flag.
    uint64_t (*flag)(struct machine *m, int device);
    // Shared buffer of rows * pitch bytes, zeroed, announced to all devices.
    int (*alloc)(struct machine *m, int64_t rows, int64_t pitch, struct buffer *out, struct err *e);
    void (*free)(struct machine *m, struct buffer *b);
    void (*energy)(struct machine *m, struct energy *out); // since the reset
    void (*frames)(struct machine *m, struct frames *out); // since the reset
    uint64_t (*digest)(struct machine *m); // of the event trace since the reset; 0 on hardware
    const struct machine_replay *replay;   // NULL: every section is carried out
    // From now on the run is reported to this sink; NULL: no more. Between runs, after the reset:
    // queues are empty, and a trace is one run.
    void (*trace)(struct machine *m, const struct trace_sink *sink);
    // Empties queues, clears statistics, restarts a virtual clock at 0.
    void (*reset)(struct machine *m);
    void (*close)(struct machine *m);
};

// The tracks that a run has on every machine; valid while there is a sink.
struct machine_tracks {
    int steps, control;              // what the control plane is at, and what it does for it
    int device[MACHINE_MAX_DEVICES]; // tasks executing
    int queue[MACHINE_MAX_DEVICES];  // tasks waiting, from their submission to their start
    int depth[MACHINE_MAX_DEVICES];  // their number
};

struct machine {
    const struct machine_ops *ops;
    const char *name; // "host", "soc:sd8gen3"
    bool repeatable;  // a virtual clock: equal runs take equal times, one measurement is enough
    bool values;      // devices compute numbers
    // Simulated in more detail than policies know of: slow, and profiled on a twin of less detail
    // (docs/adr/0005).
    bool detailed;
    // Whoever measures sets it: from the next reset on nobody else uses the machine and it stays
    // cool. Real hardware cannot be told; there its owner has to see to it.
    bool quiet;
    int n_devices;
    struct device *device[MACHINE_MAX_DEVICES];
    // Failed for good, and whoever uses the machine has decided to go on without it: it is given
    // nothing any more, and policies do not see it. Indices stay as they are.
    bool lost[MACHINE_MAX_DEVICES];
    int64_t memory;                 // bytes of DRAM that the engine may use; 0: unknown
    const struct trace_sink *trace; // NULL: nobody asked
    struct machine_tracks tracks;
};

// What a policy may know of a machine: capabilities, no clock, no handles. A lost device keeps its
// place but can do nothing, is not the first of its kind, and stands in no scheme's way.
struct machine_desc {
    const char *name;
    int n_devices;
    struct device_caps device[MACHINE_MAX_DEVICES];
    int cpu, gpu, npu; // index of the first device of each kind, -1 when absent
    int64_t memory;
};
void machine_describe(const struct machine *m, struct machine_desc *out);
// What all machines do when they are traced: sets the sink and the tracks above.
void machine_set_trace(struct machine *m, const struct trace_sink *sink);
// The queues come last: what waits overlaps, and takes more room than all else.
void machine_trace_queues(struct machine *m);
// The control plane did something from `begin` until now. Only with a sink.
void machine_trace_control(struct machine *m, const char *name, int64_t begin);
struct device *machine_find(const struct machine *m, const char *name); // or NULL

// How explore and cli obtain machines without knowing which world they come from: cli hands over a
// factory. `overrides` are "dotted.key=value" strings for the machine's configuration.
struct machine_factory {
    int (*open)(const struct machine_factory *f, const char *const *overrides, int n,
                struct machine **out, struct err *e);
    // Digest of the whole resolved configuration with the overrides: equal for equal machines,
    // however they were written. NULL: nobody keeps results of these machines.
    int (*digest)(const struct machine_factory *f, const char *const *overrides, int n,
                  uint64_t *out, struct err *e);
    const char *spec; // "host", "soc:sd8gen3"
    const char *path; // configuration file, or NULL
    bool values;
};

#endif
