// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the OpenCL device: opencl.c (the device and its options), opencl_queue.c (tickets, waits),
// opencl_setup.c (choosing the hardware), opencl_probe.c (what it can do), opencl_memory.c (shared
// buffers and weights), opencl_image.c (weights as images), opencl_program.c (building),
// opencl_kernels.c and opencl_matmul.c (the launches of a task), opencl_tune.c (tile sizes). Nobody
// else includes this.
#ifndef ENGINE_HOST_OPENCL_KERNELS_H
#define ENGINE_HOST_OPENCL_KERNELS_H

#define CL_USE_DEPRECATED_OPENCL_1_2_APIS // clCreateCommandQueue: works with any driver
#include <CL/cl.h>
#include <CL/cl_ext.h>
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
    OPENCL_CANDIDATES = 8, // of tile sizes, for one class of products
    OPENCL_CHOICES = 256,  // classes that are remembered
    OPENCL_WINDOW = 16,    // tickets whose memory an out-of-order queue compares
    OPENCL_SCRATCH = 4,    // pieces of scratch memory, which tickets take turns in
    OPENCL_TEXEL = 16,     // bytes of one in the images of weights
};

enum opencl_sharing { SHARE_AUTO, SHARE_HOST_PTR, SHARE_SVM, SHARE_IMPORT, SHARE_COPY };
enum opencl_hint { HINT_NONE, HINT_LOW, HINT_NORMAL, HINT_HIGH };
enum opencl_tune { TUNE_AUTO, TUNE_OFF, TUNE_FORCE };
enum opencl_activations { ACTIVATIONS_AUTO, ACTIVATIONS_FLOAT, ACTIVATIONS_INT8 };
enum opencl_weights { WEIGHTS_AUTO, WEIGHTS_BUFFER, WEIGHTS_IMAGE };
enum opencl_precision { PRECISION_AUTO, PRECISION_FP16, PRECISION_FP32 };

struct opencl_options {
    bool enabled; // read by host.c
    const char *platform, *device;
    int64_t compute_units, lanes;
    bool flag;
    int64_t max_weight, max_image; // bytes; 0: the device's limit
    int64_t patience;              // ps
    const char *kernel_options;
    int tune, activations, precision;          // enums above
    int memory;                                // enum opencl_sharing
    int weights;                               // enum opencl_weights
    int priority, perf_hint;                   // enum opencl_hint
    int queue;                                 // 0: in order, 1: out of order
    const char *tune_cache;                    // file; empty: the user's cache directory
    struct conf_int_list gemm_tile, gemv_tile; // empty: the tuner's choice
};

// Tile sizes of a matrix product; see kernels/matmul.cl. gemv uses lanes, rows and width.
struct opencl_tile {
    int lanes;
    int rows, tokens, columns; // of a work-group
    int vectors;               // of 8 rows, in a micro-tile
    int width;                 // tokens of a micro-tile; gemv: rows that stream at once
    int local;                 // tokens are copied into local memory
    int image;                 // weights are read as an image
};

// A program with one product kernel for one set of tile sizes.
struct opencl_variant {
    enum opencl_enc enc;
    bool gemm;
    struct opencl_tile tile;
    cl_program program;
    cl_kernel kernel;
};

// What the tuner found for a class of products: candidate `index`, on buffers or images. weights:
// what it was free to choose. m, k, n: log2 of rows, columns and tokens, rounded up.
struct opencl_choice {
    int enc, act, weights, m, k, n, index, image;
};

// One product out[n, m] = x[n, :] . w[m, :] + bias[m]; offsets and pitches as the kernels take
// them.
struct opencl_product {
    enum opencl_enc enc;
    cl_mem w, x, bias, out; // bias may be NULL
    cl_mem image;           // of w; NULL: there is none
    int64_t w_off, row_bytes, rows, k;
    int64_t x_off, x_pitch, tokens;
    int64_t bias_off, out_off, out_pitch;
};

// Kernels of one program. Only the F32 program has those behind `embed`.
struct opencl_program {
    cl_program program; // NULL: not built yet
    cl_kernel embed;
    cl_kernel rmsnorm, swiglu, add, rope, attention, quantise, flag_set;
    cl_kernel probe_write, probe_check, probe_spin, probe_dot;
    bool warm; // the product kernels of this encoding ran once
};

// Rows [r0, r1) of a tensor in one allocation. rows are counted in the tensor.
struct opencl_slice {
    cl_mem mem;   // NULL: not loaded
    cl_mem image; // of mem, or NULL
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
    cl_event first, last;             // of the task's own commands; last is NULL when there is one
    cl_event flag;                    // of the flag word's, or NULL
    int64_t submitted;                // ps, for devices without profiling and for traces
    char label[TASK_LABEL];           // for traces; empty: nobody traces
    char name[40];                    // "gate_up L12", for errors
    const void *reads[4], *writes[4]; // memory, if the queue is out of order
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
    bool out_of_order;
    enum opencl_sharing sharing;  // of shared buffers; zero_copy is false under SHARE_COPY
    struct opencl_memory *memory; // what opencl_memory_new made
    bool is_cpu, profiling, zero_copy;
    cl_ulong max_alloc, max_weight; // bytes of one buffer, of one piece of a weight
    cl_ulong max_image;             // bytes of one image
    enum opencl_weights weights;    // auto: both, as is faster
    size_t align;                   // a host pointer with this alignment is used in place
    int lanes, max_lanes;           // work-items per work-group
    cl_uint units;                  // compute units
    size_t local_memory;            // bytes of a work-group
    bool dot_product;               // cl_khr_integer_dot_product; the device says that it is fast
    bool dot_accelerated;
    bool int8;                // quantised weights are multiplied by bytes
    bool half, half_is_float; // products of other weights in halves; these are floats (tests)
    struct opencl_program program[ENC_COUNT];
    struct opencl_variant *variant;
    int n_variants;
    int64_t preparing;                   // ps spent in compiling and in timing candidates
    const char *cache_path, *cache_head; // NULL: choices are not kept
    struct opencl_choice choice[OPENCL_CHOICES];
    int n_choices;
    cl_mem scratch[OPENCL_SCRATCH];
    size_t scratch_size[OPENCL_SCRATCH];

    struct opencl_weight **weight; // by tensor id; NULL: not seen yet
    uint32_t n_weights;
    int64_t resident;

    // cos and sin by position, shared by all layers
    struct rope rope;
    float *angle; // [angle_rows][rope.dim]
    cl_mem angle_mem;
    int angle_rows, angle_filled;

    void *flag_page;
    cl_mem flag_mem, flag_image; // the image: to warm kernels up on

    uint64_t submitted, completed;            // tickets
    struct opencl_ticket ticket[OPENCL_RING]; // by ticket % OPENCL_RING
    struct opencl_ticket *current;            // being submitted
    cl_event recent[OPENCL_RECENT];           // the latest commands; see opencl_track
    unsigned n_recent;
    cl_int failed; // sticky error of the queue, and whose it was
    bool running;  // it failed, and its commands were not seen to end
    char failed_name[40];
    cl_event wait[OPENCL_WINDOW + 2]; // what the next command waits for; in order: nothing
    int n_wait;
    cl_event chain;   // the latest command of an out-of-order queue
    int64_t last_end; // ps, for devices without profiling
    struct device_stats stats;

    pthread_mutex_t mutex; // guards ticket[].fired and callbacks
    pthread_cond_t fired;
    int callbacks; // registered and not yet run
};

// opencl_queue.c

// Takes over a reference to a command's event and keeps it for a while; ev may be NULL. PoCL's
// worker threads touch the queue of an event after clFinish returned; close waits until the events
// are ours alone.
void opencl_track(struct opencl *d, cl_event ev);
// Before an error is reported: waits until nothing of the device's runs any more. Returns rc, or
// ERR_IO with `e` saying so when that cannot be seen; the device has then failed.
int opencl_stop(struct opencl *d, int rc, struct err *e);
int opencl_submit(struct device *dev, const struct task *t, uint64_t *seq, struct err *e);
int opencl_poll(struct device *dev, uint64_t seq, struct err *e);
int opencl_wait(struct device *dev, uint64_t seq, enum wait_mode mode, struct err *e);
void opencl_stats(struct device *dev, struct device_stats *out);
void opencl_reset(struct device *dev);
// Lets go of all events; the queue is finished. false: a failed device still owes a callback, which
// may come at any time and needs the device.
bool opencl_queue_drop(struct opencl *d);

// opencl_setup.c
// "CL_OUT_OF_RESOURCES"; a number for codes that are not in the table.
const char *opencl_error_name(cl_int code);
// ERR_DEVICE "DEVICE: WHAT: CL_NAME".
int opencl_fail(const struct opencl *d, struct err *e, cl_int code, const char *what);
bool opencl_has(const struct opencl *d, const char *extension);
int opencl_choose(struct opencl *d, struct err *e); // fills platform to queue

// opencl_probe.c: zero_copy, align, the flag word, int8. The F32 program must have been built.
int opencl_probe(struct opencl *d, struct err *e);

// opencl_share.c
bool opencl_can_share(const struct opencl *d, enum opencl_sharing kind); // says the device
// Memory for d->sharing, and a buffer over it (or over any, under SHARE_HOST_PTR).
void *opencl_memory_new(struct host_device *d, int64_t bytes, int *fd);
void opencl_memory_free(struct host_device *d, void *host);
cl_mem opencl_share(struct opencl *d, void *host, size_t size, int fd, cl_int *rc);

// opencl_image.c
// Decides d->weights. Comes after opencl_probe.
int opencl_image_open(struct opencl *d, struct err *e);
// The first `size` bytes of a buffer, whose memory is whole texels, as an image.
cl_mem opencl_image_new(struct opencl *d, cl_mem buffer, size_t size, cl_int *rc);

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

// Scratch memory of the current ticket, at least `size` bytes; its contents are lost.
int opencl_scratch(struct opencl *d, int64_t size, cl_mem *out, struct err *e);
void opencl_scratch_drop(struct opencl *d);

// opencl_program.c
int opencl_build(struct opencl *d, enum opencl_enc enc, struct err *e); // all but the products
enum opencl_enc opencl_enc_of(const struct encoding *enc); // ENC_F32 for those without kernels
const char *opencl_enc_name(enum opencl_enc enc);
uint64_t opencl_source_digest(void);
// In how many bits products with this encoding take activations: 8, 16 or 32.
int opencl_act_of(const struct opencl *d, enum opencl_enc enc);
bool opencl_tile_equal(const struct opencl_tile *a, const struct opencl_tile *b);
// The kernel for tile sizes, built when it is new.
int opencl_variant_get(struct opencl *d, enum opencl_enc enc, bool gemm,
                       const struct opencl_tile *t, cl_kernel *out, struct err *e);
void opencl_programs_drop(struct opencl *d);
// Compiling or timing has been going on since `begin`: whoever watches is told, if it is long.
void opencl_took(struct opencl *d, int64_t begin);

// opencl_matmul.c
// Bytes from one quantised row of k values to the next; Q8_PITCH in kernels/dot.cl.
static inline int64_t opencl_q8_pitch(int64_t k)
{
    return (k + k / 32 * 8 + 63) / 64 * 64;
}
int opencl_matmul(struct opencl *d, const struct task *t, struct err *e);
int opencl_product(struct opencl *d, const struct opencl_product *p, const struct opencl_tile *tile,
                   struct err *e);
int opencl_warm(struct opencl *d, enum opencl_enc enc, struct err *e); // compiles for good

// opencl_tune.c
void opencl_tune_open(struct opencl *d); // reads the cache
struct opencl_tile opencl_tile_default(const struct opencl *d, enum opencl_enc enc, bool gemm);
// The tile sizes for a product; tunes when the class is new.
int opencl_tile_for(struct opencl *d, const struct opencl_product *p, struct opencl_tile *out,
                    struct err *e);

// opencl_kernels.c
int opencl_launch_task(struct opencl *d, const struct task *t, struct err *e);
int opencl_launch_flag(struct opencl *d, uint64_t seq, struct err *e);
int opencl_launch_probe_write(struct opencl *d, cl_mem p, cl_uint n, cl_uint step, cl_uint seed,
                              struct err *e);
int opencl_launch_probe_check(struct opencl *d, cl_mem p, cl_uint n, cl_uint seed, cl_mem wrong,
                              struct err *e);
int opencl_launch_probe_spin(struct opencl *d, cl_mem sink, cl_uint turns, cl_event *ev,
                             struct err *e);
int opencl_launch_probe_dot(struct opencl *d, cl_mem out, struct err *e);

#endif
