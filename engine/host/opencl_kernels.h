// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the OpenCL device, which is four files: opencl.c (the device: queue, tickets, waits),
// opencl_setup.c (choosing the hardware, start-up probes), opencl_memory.c (shared buffers and
// weights) and opencl_kernels.c (programs and the launches of a task). Nobody else includes this.
#ifndef ENGINE_HOST_OPENCL_KERNELS_H
#define ENGINE_HOST_OPENCL_KERNELS_H

#define CL_USE_DEPRECATED_OPENCL_1_2_APIS // clCreateCommandQueue: works with any driver
#include <CL/cl.h>
#include <pthread.h>
#include "engine/host/host.h"

// Encodings with kernels; the numbers of ENC in kernels/decode.cl.
enum opencl_enc {
    ENC_F32,
    ENC_F16,
    ENC_BF16,
    ENC_Q8_0,
    ENC_Q4_0,
    ENC_Q4_1,
    ENC_Q5_0,
    ENC_IQ4_NL,
    ENC_Q4_K,
    ENC_Q5_K,
    ENC_Q6_K,
    ENC_COUNT
};

enum {
    OPENCL_RING = 1024,  // tickets in flight; more make submit wait for the oldest
    OPENCL_CHUNK = 1024, // values of a row per work-group in kernels/elementwise.cl
    OPENCL_MAX_HEAD = 256,
    OPENCL_RECENT = 32,
};

enum opencl_zero_copy { ZERO_COPY_AUTO, ZERO_COPY_ON, ZERO_COPY_OFF };

struct opencl_options {
    bool enabled; // read by host.c
    const char *platform, *device;
    int64_t compute_units, lanes;
    int zero_copy; // enum opencl_zero_copy
    bool flag;
    int64_t max_weight; // bytes; 0: the device's limit
    const char *kernel_options;
};

// Kernels of one program. Only the F32 program has those behind `gemm`.
struct opencl_program {
    cl_program program; // NULL: not built yet
    cl_kernel embed, gemv, gemm;
    cl_kernel rmsnorm, swiglu, add, rope, attention, flag_set;
    cl_kernel probe_write, probe_check, probe_spin;
    bool warm; // the matrix kernels ran once
};

// Rows [r0, r1) of a tensor in one allocation. rows are counted in the tensor.
struct opencl_slice {
    cl_mem mem; // NULL: not loaded
    int64_t r0, r1;
    int64_t offset; // bytes from the start of `mem` to row r0
};

// The device's copy (or view) of one tensor.
struct opencl_weight {
    const void *data; // of the tensor, to notice that an id means another tensor now
    int64_t rows, cols;
    uint64_t sample;     // digest of a few bytes, for the same reason
    enum opencl_enc enc; // as stored here
    int64_t row_bytes;   // as stored here
    int64_t slice_rows;  // slice i covers rows [i * slice_rows, ...), of which [r0, r1) are here
    int n_slices;
    struct opencl_slice *slice;
};

// One submitted task. Events are NULL once harvested.
struct opencl_ticket {
    cl_event first, last;   // of the task's own commands; last is NULL when there is one
    cl_event flag;          // of the flag word's, or NULL
    int64_t submitted;      // ps, for devices without profiling and for traces
    char label[TASK_LABEL]; // for traces; empty: nobody traces
    struct work work;
    bool fired; // the completion callback ran; guarded by the device's mutex
};

struct opencl {
    struct host_device host; // first
    struct opencl_options opt;
    struct arena arena; // options' strings, names

    cl_platform_id platform;
    cl_device_id root, dev; // dev is a sub-device of root, or root itself
    cl_context ctx;
    cl_command_queue queue;
    const char *name; // "PLATFORM: DEVICE", for errors
    bool is_cpu, profiling, zero_copy;
    cl_ulong max_alloc, max_weight; // bytes of one buffer, of one piece of a weight
    size_t align;                   // a host pointer with this alignment is used in place
    int lanes, gemv_rows;           // work-items, and rows of gemv, per work-group
    struct opencl_program program[ENC_COUNT];

    struct opencl_weight **weight; // by tensor id; NULL: not seen yet
    uint32_t n_weights;
    int64_t resident;

    // cos and sin by position, shared by all layers
    struct rope rope;
    float *angle; // [angle_rows][rope.dim]
    cl_mem angle_mem;
    int angle_rows, angle_filled;

    void *flag_page;
    cl_mem flag_mem;

    uint64_t submitted, completed;            // tickets
    struct opencl_ticket ticket[OPENCL_RING]; // by ticket % OPENCL_RING
    struct opencl_ticket *current;            // being submitted
    cl_event recent[OPENCL_RECENT];           // the latest commands; see opencl_track
    unsigned n_recent;
    cl_int failed;    // sticky error of the queue
    int64_t last_end; // ps, for devices without profiling
    struct device_stats stats;

    pthread_mutex_t mutex; // guards ticket[].fired and callbacks
    pthread_cond_t fired;
    int callbacks; // registered and not yet run
};

// Takes over a reference to a command's event and keeps it for a while; ev may be NULL. PoCL's
// worker threads touch the queue of an event after clFinish returned; close waits until the events
// are ours alone.
void opencl_track(struct opencl *d, cl_event ev);

// opencl_setup.c
// "CL_OUT_OF_RESOURCES"; a number for codes that are not in the table.
const char *opencl_error_name(cl_int code);
// ERR_DEVICE "DEVICE: WHAT: CL_NAME".
int opencl_fail(const struct opencl *d, struct err *e, cl_int code, const char *what);
// Fills platform to queue; then, with the F32 program built, the probes.
int opencl_choose(struct opencl *d, struct err *e);
int opencl_probe(struct opencl *d, struct err *e); // zero_copy, align, the flag word

// opencl_memory.c
int opencl_alloc(struct device *d, struct buffer *b, struct err *e);
void opencl_free(struct device *d, struct buffer *b);
int opencl_map(struct device *d, struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
               int64_t col1, enum map_dir dir, struct err *e);
int opencl_load(struct device *d, const struct tensor *w, int64_t m0, int64_t m1, struct err *e);
// The device's copy of a tensor with rows [m0, m1) present; loads what is missing.
int opencl_weight_get(struct opencl *d, const struct tensor *w, int64_t m0, int64_t m1,
                      const struct opencl_weight **out, struct err *e);
// The same, after checking that the tensor's bytes are still those that were loaded.
int opencl_weight_fresh(struct opencl *d, const struct tensor *w, int64_t m0, int64_t m1,
                        const struct opencl_weight **out, struct err *e);
void opencl_weights_drop(struct opencl *d);
// The angle table with positions [0, rows) filled.
int opencl_angles(struct opencl *d, const struct rope *r, int rows, struct err *e);
cl_mem opencl_buffer_mem(const struct opencl *d, const struct buffer *b);

// opencl_kernels.c
int opencl_build(struct opencl *d, enum opencl_enc enc, struct err *e); // once per encoding
int opencl_warm(struct opencl *d, enum opencl_enc enc, struct err *e);  // compiles for good
enum opencl_enc opencl_enc_of(const struct encoding *enc); // ENC_F32 for those without kernels
int opencl_launch_task(struct opencl *d, const struct task *t, struct err *e);
int opencl_launch_flag(struct opencl *d, uint64_t seq, struct err *e);
int opencl_launch_probe_write(struct opencl *d, cl_mem p, cl_uint n, cl_uint step, cl_uint seed,
                              struct err *e);
int opencl_launch_probe_check(struct opencl *d, cl_mem p, cl_uint n, cl_uint seed, cl_mem wrong,
                              struct err *e);
int opencl_launch_probe_spin(struct opencl *d, cl_mem sink, cl_uint turns, cl_event *ev,
                             struct err *e);
void opencl_programs_drop(struct opencl *d);

#endif
