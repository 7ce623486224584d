// SPDX-License-Identifier: GPL-3.0-or-later
// The host machine: a clock, a sleep, shared memory, and three devices that are opened in a fixed
// order: cpu, gpu, npu. Their indices are their places among the devices that are there.
//
// A GPU that is not there (no OpenCL platform, no device) is normal on a development machine: the
// machine goes on without it unless the configuration says gpu_required = true. A wrong
// configuration is always an error, and so is a CPU or NPU that does not open.
//
// The NPU is one device of two kinds: the Hexagon DSP where its driver is, else the tile NPU. A DSP
// that was asked for by the path of its library is not replaced by anything.
#include "engine/host/host.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "base/digest.h"
#include "base/log.h"
#include "engine/host/futex.h"
#include "engine/host/place.h"
#include "engine/host/team.h"
#include "engine/host/trace.h"

struct host_options {
    bool gpu_required;
    struct conf_int_list pin;
    int64_t slack; // ps
};

static const struct conf_row host_rows[] = {
    {"cpu", CONF_GROUP, UNIT_NONE, NULL, 0, 0, NULL, "The CPU device.", 0},
    {"gpu", CONF_GROUP, UNIT_NONE, NULL, 0, 0, NULL, "The OpenCL device.", 0},
    {"hexagon", CONF_GROUP, UNIT_NONE, NULL, 0, 0, NULL,
     "The NPU of a Snapdragon, used instead of the tile NPU where it is there.", 0},
    {"npu", CONF_GROUP, UNIT_NONE, NULL, 0, 0, NULL,
     "The tile NPU; enabled = false leaves the Hexagon DSP out too.", 0},
    {"gpu_required", CONF_BOOL, UNIT_NONE, "false", 0, 0, NULL,
     "Fail when an enabled OpenCL device is not there, instead of going on without it.",
     offsetof(struct host_options, gpu_required)},
    {"control_pin", CONF_INT_LIST, UNIT_NONE, "[]", 0, 4095, NULL,
     "CPU to pin the opening (control) thread to; empty: none.",
     offsetof(struct host_options, pin)},
    {"timer_slack", CONF_INT, UNIT_TIME, "1 us", 0, 1e12, NULL,
     "How much later than asked the kernel may wake the opening (control) thread; 0 s: as it is.",
     offsetof(struct host_options, slack)},
};
enum { HOST_ROWS = sizeof host_rows / sizeof host_rows[0] };

struct host {
    struct machine base; // first
    uint32_t buffers;    // announced so far: the next id
    struct host_cores cores;
    struct host_trace trace;
};

// The devices in the order of opening. One device per name.
static const struct {
    const char *group, *name;
    int (*open)(const struct conf_node *, struct machine *, int, struct device **, struct err *);
    const struct conf_row *rows;
    const size_t *n_rows;
} kinds[] = {
    {"cpu", "cpu", device_cpu_open, device_cpu_rows, &device_cpu_n_rows},
    {"gpu", "gpu", device_opencl_open, device_opencl_rows, &device_opencl_n_rows},
    {"hexagon", "npu", device_hexagon_open, device_hexagon_rows, &device_hexagon_n_rows},
    {"npu", "npu", device_tile_open, device_tile_rows, &device_tile_n_rows},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

int64_t host_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * PS_PER_S + (int64_t)t.tv_nsec * PS_PER_NS;
}

static int64_t machine_now(struct machine *m)
{
    (void)m;
    return host_now();
}

static void machine_sleep(struct machine *m, int64_t ps)
{
    (void)m;
    if (ps <= 0)
        return;
    // Until an absolute time, so that interrupted sleeps do not add up; rounded up to a nanosecond.
    int64_t end = host_now() + ps + PS_PER_NS - 1;
    struct timespec t = {.tv_sec = (time_t)(end / PS_PER_S),
                         .tv_nsec = (long)(end % PS_PER_S / PS_PER_NS)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static void machine_pause(struct machine *m)
{
    static _Thread_local unsigned turn;
    (void)m;
    poll_turn(turn++);
}

static void machine_place(struct machine *m, enum core_class core)
{
    host_cores_place(&((struct host *)m)->cores, core);
}

static uint64_t machine_flag(struct machine *m, int device)
{
    const struct host_device *d = (const struct host_device *)m->device[device];
    return d->flag ? atomic_load_explicit(d->flag, memory_order_acquire) : 0;
}

// The device whose memory the others can use, but not the other way round; NULL: any memory will
// do.
static struct host_device *memory_source(const struct machine *m)
{
    for (int i = m->n_devices; i-- > 0;) {
        struct host_device *d = (struct host_device *)m->device[i];
        if (d->take)
            return d;
    }
    return NULL;
}

static void give_back(struct host_device *source, void *p)
{
    if (source)
        source->give(source, p);
    else
        free(p);
}

static int machine_alloc(struct machine *m, int64_t rows, int64_t pitch, struct buffer *out,
                         struct err *e)
{
    enum { PAGE = 4096 };
    int64_t size;
    if (rows < 1 || pitch < 1 || __builtin_mul_overflow(rows, pitch, &size) ||
        size > INT64_MAX - PAGE)
        return err_set(e, ERR_USAGE, "a buffer of %lld rows of %lld bytes is impossible",
                       (long long)rows, (long long)pitch);
    int64_t whole = (size + PAGE - 1) / PAGE * PAGE; // no device shares a page with anything else
    struct buffer b = {.size = size, .pitch = pitch, .id = ((struct host *)m)->buffers++};
    struct host_device *source = memory_source(m);
    b.host = source ? source->take(source, whole, &b.fd) : aligned_alloc(PAGE, (size_t)whole);
    if (!b.host)
        return err_set(e, ERR_MEMORY, "no memory for a buffer of %lld bytes", (long long)size);
    memset(b.host, 0, (size_t)whole);
    for (int i = 0; i < m->n_devices; i++) {
        int rc = m->lost[i] ? 0 : m->device[i]->ops->alloc(m->device[i], &b, e);
        if (rc < 0) {
            while (i-- > 0)
                m->device[i]->ops->free(m->device[i], &b);
            give_back(source, b.host);
            return rc;
        }
    }
    *out = b;
    return 0;
}

static void machine_free(struct machine *m, struct buffer *b)
{
    if (!b->host)
        return;
    for (int i = 0; i < m->n_devices; i++)
        m->device[i]->ops->free(m->device[i], b);
    give_back(memory_source(m), b->host);
    *b = (struct buffer){0};
}

static void machine_frames(struct machine *m, struct frames *out)
{
    (void)m;
    *out = (struct frames){0}; // nobody here can tell
}

static void machine_energy(struct machine *m, struct energy *out)
{
    (void)m;
    *out =
        (struct energy){.total = NAN, .dram = NAN, .control = NAN, .rest = NAN, .temperature = NAN};
    for (int i = 0; i < MACHINE_MAX_DEVICES; i++)
        out->device[i] = NAN;
}

static uint64_t machine_digest(struct machine *m)
{
    (void)m;
    return 0;
}

// Asking for statistics makes a device account for what is complete, and report it, before the
// sink goes away.
static void machine_trace(struct machine *m, const struct trace_sink *sink)
{
    struct host_trace *t = &((struct host *)m)->trace;
    for (int i = 0; !sink && i < m->n_devices; i++) {
        struct device_stats s;
        m->device[i]->ops->stats(m->device[i], &s);
    }
    t->to = sink ? sink : t->to;
    machine_set_trace(m, sink ? &t->sink : NULL);
    machine_trace_queues(m);
}

static void machine_reset(struct machine *m)
{
    for (int i = 0; i < m->n_devices; i++)
        m->device[i]->ops->reset(m->device[i]);
}

static void machine_close(struct machine *m)
{
    while (m->n_devices > 0) {
        struct device *d = m->device[--m->n_devices];
        d->ops->close(d);
    }
    host_trace_fini(&((struct host *)m)->trace);
    free(m);
}

static const struct machine_ops host_ops = {
    .name = "host",
    .doc = "this machine: its CPU, its OpenCL GPU and a software NPU",
    .now = machine_now,
    .sleep = machine_sleep,
    .pause = machine_pause,
    .place = machine_place,
    .flag = machine_flag,
    .alloc = machine_alloc,
    .free = machine_free,
    .energy = machine_energy,
    .frames = machine_frames,
    .digest = machine_digest,
    .trace = machine_trace,
    .reset = machine_reset,
    .close = machine_close,
};

// Before its owner reads the group (and checks the spelling).
static bool enabled(const struct conf_node *group)
{
    char text[16];
    const char *s = group ? conf_text(group, "enabled", -1, text, sizeof text) : NULL;
    return !s || strcmp(s, "false") != 0;
}

// May the machine go on without a device that is not there?
static bool optional(const char *group, const struct conf_node *n, const struct host_options *o)
{
    char path[4096];
    if (!strcmp(group, "gpu"))
        return !o->gpu_required;
    const char *named = n ? conf_text(n, "library", -1, path, sizeof path) : NULL;
    return !strcmp(group, "hexagon") && !(named && *named);
}

static int open_devices(const struct conf_node *root, const struct host_options *o,
                        struct machine *m, struct err *e)
{
    for (int i = 0; i < KINDS; i++) {
        const struct conf_node *n = root ? conf_child(root, kinds[i].group) : NULL;
        if (!enabled(n) || !enabled(root ? conf_child(root, kinds[i].name) : NULL) ||
            machine_find(m, kinds[i].name))
            continue;
        struct err why = {0};
        struct device *d;
        int rc = kinds[i].open(n, m, m->n_devices, &d, &why);
        bool absent = rc == ERR_UNSUPPORTED || rc == ERR_DEVICE;
        if (rc == 0) {
            m->device[m->n_devices++] = d;
        } else if (absent && optional(kinds[i].group, n, o)) {
            char text[600];
            log_info("going on without the %s: %s", kinds[i].group,
                     err_text(&why, text, sizeof text));
        } else {
            if (e)
                *e = why;
            return rc;
        }
    }
    if (m->n_devices == 0)
        return err_set(e, ERR_DEVICE, "the host machine has no enabled device");
    return 0;
}

int machine_host_open(const struct conf *c, struct machine **out, struct err *e)
{
    const struct conf_node *root = c ? conf_root(c) : NULL;
    struct host_options o;
    struct arena a;
    arena_init(&a);
    int rc = conf_read(root, "host", host_rows, HOST_ROWS, &o, &a, e);
    arena_fini(&a); // the options hold no strings
    if (rc < 0)
        return rc;
    struct host *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(e, ERR_MEMORY, "no memory for the machine");
    h->base = (struct machine){.ops = &host_ops, .name = "host", .values = true};
    host_trace_init(&h->trace);
    h->base.memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    rc = open_devices(root, &o, &h->base, e);
    if (rc < 0) {
        machine_close(&h->base);
        return rc;
    }
    team_pin(&o.pin, 0);
    // Linux gathers wake-ups within 50 us unless it is told otherwise: half of what a sleep costs.
    if (o.slack &&
        prctl(PR_SET_TIMERSLACK, (unsigned long)((o.slack + PS_PER_NS - 1) / PS_PER_NS), 0, 0, 0))
        log_info("cannot set the timer slack of the control thread");
    host_cores_find(&h->cores);
    *out = &h->base;
    return 0;
}

void machine_host_help(FILE *f)
{
    conf_help(f, host_rows, HOST_ROWS, 0);
    for (int i = 0; i < KINDS; i++) {
        fprintf(f, "%s:\n", kinds[i].group);
        conf_help(f, kinds[i].rows, *kinds[i].n_rows, 4);
    }
}

// Prints the resolved configuration, or adds it to a digest; either may be NULL.
static int walk_config(const struct conf *c, FILE *f, uint64_t *d, struct err *e)
{
    const struct conf_node *root = c ? conf_root(c) : NULL;
    // Any device's options: their structs are known to the devices only.
    union {
        struct host_options host;
        long double align;
        char bytes[4096];
    } o;
    struct arena a;
    arena_init(&a);
    int rc = conf_read(root, "host", host_rows, HOST_ROWS, &o, &a, e);
    if (rc == 0 && f)
        conf_dump(f, root, host_rows, HOST_ROWS, &o, 0);
    if (rc == 0 && d)
        *d = conf_digest(*d, host_rows, HOST_ROWS, &o);
    for (int i = 0; rc == 0 && i < KINDS; i++) {
        const struct conf_row *rows = kinds[i].rows;
        size_t n_rows = *kinds[i].n_rows;
        const struct conf_node *n = root ? conf_child(root, kinds[i].group) : NULL;
        for (size_t r = 0; r < n_rows; r++)
            assert(rows[r].offset + sizeof(struct conf_int_list) <= sizeof o);
        rc = conf_read(n, kinds[i].group, rows, n_rows, &o, &a, e);
        if (rc == 0 && f) {
            fprintf(f, "%s = {\n", kinds[i].group);
            conf_dump(f, n, rows, n_rows, &o, 4);
            fprintf(f, "};\n");
        }
        if (rc == 0 && d)
            *d = conf_digest(digest_str(*d, kinds[i].group), rows, n_rows, &o);
    }
    arena_fini(&a);
    return rc;
}

int machine_host_dump(FILE *f, const struct conf *c, struct err *e)
{
    return walk_config(c, f, NULL, e);
}

int machine_host_config_digest(const struct conf *c, uint64_t *out, struct err *e)
{
    struct machine *m;
    uint64_t d = digest_str(DIGEST_INIT, "host");
    if (walk_config(c, NULL, &d, e) < 0 || machine_host_open(c, &m, e) < 0)
        return e ? e->code : ERR_CONFIG;
    d = digest_u64(d, (uint64_t)m->memory);
    for (int i = 0; i < m->n_devices; i++) {
        d = digest_str(d, m->device[i]->caps.name);
        d = digest_str(d, m->device[i]->caps.detail ? m->device[i]->caps.detail : "");
    }
    m->ops->close(m);
    *out = d;
    return 0;
}
