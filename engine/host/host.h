// SPDX-License-Identifier: GPL-3.0-or-later
// The real machine: real threads, real devices, the monotonic clock. Its devices are opened by name
// from one configuration; a missing OpenCL device leaves the others.
#ifndef ENGINE_HOST_HOST_H
#define ENGINE_HOST_HOST_H

#include <stdatomic.h>
#include "engine/machine.h"

// A device of the host machine. The flag word holds the last completed ticket; the device stores it
// with release order after its results, the host loads it with acquire order.
struct host_device {
    struct device base;     // first
    _Atomic uint64_t *flag; // NULL: the device cannot set one (caps.flag is false)
    // Memory for the machine's buffers, zeroed, in whole pages, where only this device can provide
    // what it is able to work on; NULL: it takes any memory. *fd: as in struct buffer, set where it
    // has one. Where two devices provide memory, it comes from the one that was opened last.
    void *(*take)(struct host_device *d, int64_t size, int *fd);
    void (*give)(struct host_device *d, void *p);
};

// c may be NULL (all defaults). Groups: cpu, gpu, hexagon, npu, each with `enabled`.
int machine_host_open(const struct conf *c, struct machine **out, struct err *e);
// The resolved configuration, each line with its doc and source.
int machine_host_dump(FILE *f, const struct conf *c, struct err *e);
// Digest of the resolved configuration and of what the devices are, for caches of results.
int machine_host_config_digest(const struct conf *c, uint64_t *out, struct err *e);
// Prints the option rows of the machine and its devices.
void machine_host_help(FILE *f);

// Each device: its rows, and open from its group (NULL: defaults). `index` is its place in the
// machine. ERR_UNSUPPORTED / ERR_DEVICE when it is not there.
extern const struct conf_row device_cpu_rows[], device_opencl_rows[], device_hexagon_rows[],
    device_tile_rows[];
extern const size_t device_cpu_n_rows, device_opencl_n_rows, device_hexagon_n_rows,
    device_tile_n_rows;
int device_cpu_open(const struct conf_node *n, struct machine *m, int index, struct device **out,
                    struct err *e);
int device_opencl_open(const struct conf_node *n, struct machine *m, int index, struct device **out,
                       struct err *e);
int device_hexagon_open(const struct conf_node *n, struct machine *m, int index,
                        struct device **out, struct err *e);
int device_tile_open(const struct conf_node *n, struct machine *m, int index, struct device **out,
                     struct err *e);

int64_t host_now(void); // ps, monotonic

#endif
