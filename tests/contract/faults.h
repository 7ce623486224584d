// SPDX-License-Identifier: GPL-3.0-or-later
// Devices that fail on demand, on any machine: the device's operations are replaced by ones that
// pass everything on until it is time to fail, and from then on refuse. So the same failures are
// tried on hardware and in simulation.
//
// A device dies as the contract of engine/device.h allows at worst: all that it was given and that
// nobody saw complete is garbage (NaN) where it was to be written.
#ifndef TESTS_CONTRACT_FAULTS_H
#define TESTS_CONTRACT_FAULTS_H

#include <math.h>
#include "tests/contract/machines.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_CALL, // the at-th call fails, whatever it asks for: load, prepare, map, submit, wait
    FAULT_LOAD, // the at-th call of one kind fails
    FAULT_PREPARE,
    FAULT_MAP,
    FAULT_SUBMIT,
    FAULT_WAIT,
    FAULT_SILENT, // accepts the at-th task and all after it, and never reports them: the flag
                  // word stands still, poll says so after some asking, wait at once
    FAULT_KINDS
};

enum { FAULT_TASKS = 4096, FAULT_PATIENCE = 3 };

struct fault {
    enum fault_kind kind;
    uint64_t at, count; // calls so far of the kind that counts
    bool fired, dead;   // it began to fail; it says so
    // Tickets since it was well: first and last given, last seen complete, first kept quiet about.
    uint64_t first, given, seen, silent_from;
    int asked;
    struct task task[FAULT_TASKS]; // by ticket
    struct device_ops mine;
    const struct device_ops *inner;
};
static struct fault faults[MACHINE_MAX_DEVICES];
static const struct machine_ops *faults_machine_ops; // those of the machine itself

static inline struct fault *fault_of(const struct device *d)
{
    return &faults[d->index];
}

static inline int fault_error(const struct device *d, struct err *e)
{
    return err_set(e, ERR_DEVICE, "the planted failure of %s", d->caps.name);
}

static inline void fault_garbage(const struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
                                 int64_t col1)
{
    for (int64_t r = row0; b->host && r < row1; r++)
        for (int64_t c = col0; c < col1; c += 4)
            *(float *)((char *)b->host + r * b->pitch + c) = NAN;
}

// As the host sees it.
static inline uint64_t fault_flag(struct machine *m, int device)
{
    struct fault *f = &faults[device];
    if (f->dead)
        return f->seen;
    uint64_t flag = faults_machine_ops->flag(m, device);
    if (f->silent_from && flag >= f->silent_from)
        flag = f->silent_from - 1;
    f->seen = flag > f->seen ? flag : f->seen;
    return flag;
}

// It stops; what it had not shown to be complete is garbage.
static inline void fault_die(struct device *d)
{
    struct fault *f = fault_of(d);
    struct err ignored = {0};
    if (d->caps.flag)
        fault_flag(d->machine, d->index);
    if (f->given)
        f->inner->wait(d, f->given, WAIT_FINISH, &ignored);
    for (uint64_t s = f->seen < f->first ? f->first : f->seen + 1;
         s <= f->given && d->caps.coherent; s++) {
        const struct task *t = &f->task[s % FAULT_TASKS];
        int64_t end = t->out_n0 + t->n1 - t->n0;
        fault_garbage(t->out, t->out_n0, end, (int64_t)t->m0 * 4, (int64_t)t->m1 * 4);
        if (t->op->kind == OP_ROPE) {
            int64_t r0 = t->n_past + t->n0, r1 = t->n_past + t->n1;
            fault_garbage(t->kcache, r0, r1, 0, t->kcache->pitch);
            fault_garbage(t->vcache, r0, r1, 0, t->vcache->pitch);
        }
    }
    f->fired = f->dead = true;
}

// Counts a call; true: this one fails, because it is its turn or the device is dead.
static inline bool fault_now(struct device *d, enum fault_kind k)
{
    struct fault *f = fault_of(d);
    if (f->dead)
        return true;
    if ((f->kind == k || f->kind == FAULT_CALL) && ++f->count == f->at)
        fault_die(d);
    return f->dead;
}

static inline int fault_map(struct device *d, struct buffer *b, int64_t row0, int64_t row1,
                            int64_t col0, int64_t col1, enum map_dir dir, struct err *e)
{
    return fault_now(d, FAULT_MAP) ? fault_error(d, e)
                                   : fault_of(d)->inner->map(d, b, row0, row1, col0, col1, dir, e);
}

static inline int fault_load(struct device *d, const struct tensor *w, int64_t m0, int64_t m1,
                             struct err *e)
{
    return fault_now(d, FAULT_LOAD) ? fault_error(d, e) : fault_of(d)->inner->load(d, w, m0, m1, e);
}

static inline int fault_prepare(struct device *d, const struct static_graph *g, int *handle,
                                struct err *e)
{
    return fault_now(d, FAULT_PREPARE) ? fault_error(d, e)
                                       : fault_of(d)->inner->prepare(d, g, handle, e);
}

static inline int fault_submit(struct device *d, const struct task *t, uint64_t *seq, struct err *e)
{
    struct fault *f = fault_of(d);
    CHECK(!d->machine->lost[d->index]); // nothing is given to a device that was given up
    if (fault_now(d, FAULT_SUBMIT))
        return fault_error(d, e);
    int rc = f->inner->submit(d, t, seq, e);
    if (rc < 0)
        return rc;
    f->first = f->first ? f->first : *seq;
    f->given = *seq;
    f->task[*seq % FAULT_TASKS] = *t;
    if (f->kind == FAULT_SILENT && ++f->count == f->at) {
        f->silent_from = *seq;
        f->fired = true;
    }
    return 0;
}

static inline int fault_poll(struct device *d, uint64_t seq, struct err *e)
{
    struct fault *f = fault_of(d);
    bool silent = f->silent_from && seq >= f->silent_from;
    if (silent && !f->dead && ++f->asked > FAULT_PATIENCE)
        fault_die(d);
    if (f->dead)
        return seq <= f->seen ? 1 : fault_error(d, e);
    int rc = silent ? 0 : f->inner->poll(d, seq, e);
    if (rc == 1 && seq > f->seen)
        f->seen = seq;
    return rc;
}

static inline int fault_wait(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e)
{
    struct fault *f = fault_of(d);
    if (!f->dead && f->silent_from && seq >= f->silent_from)
        fault_die(d);
    if (fault_now(d, FAULT_WAIT))
        return seq <= f->seen ? 0 : fault_error(d, e);
    int rc = f->inner->wait(d, seq, mode, e);
    if (rc == 0 && seq > f->seen)
        f->seen = seq;
    return rc;
}

// Wraps all devices of a machine. One machine at a time.
static inline void faults_install(struct machine *m)
{
    static struct machine_ops ops;
    ops = *m->ops;
    faults_machine_ops = m->ops;
    ops.flag = fault_flag;
    m->ops = &ops;
    for (int i = 0; i < m->n_devices; i++) {
        struct device *d = m->device[i];
        faults[i] = (struct fault){.inner = d->ops, .mine = *d->ops};
        faults[i].mine.map = fault_map;
        faults[i].mine.load = fault_load;
        faults[i].mine.prepare = fault_prepare;
        faults[i].mine.submit = fault_submit;
        faults[i].mine.poll = fault_poll;
        faults[i].mine.wait = fault_wait;
        d->ops = &faults[i].mine;
    }
}

static inline void faults_remove(struct machine *m)
{
    for (int i = 0; i < m->n_devices; i++)
        m->device[i]->ops = faults[i].inner;
    m->ops = faults_machine_ops;
}

// All devices are well and found again.
static inline void faults_heal(struct machine *m)
{
    for (int i = 0; i < m->n_devices; i++) {
        struct fault *f = &faults[i];
        f->kind = FAULT_NONE;
        f->fired = f->dead = false;
        f->at = f->count = f->first = f->given = f->seen = f->silent_from = 0;
        f->asked = 0;
        m->lost[i] = false;
    }
}

static inline void faults_plant(int device, enum fault_kind kind, uint64_t at)
{
    faults[device].kind = kind;
    faults[device].at = at;
}

#endif
