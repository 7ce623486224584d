// SPDX-License-Identifier: GPL-3.0-or-later
// A stand-in for libcdsprpc.so: the entry points that engine/host/npu/fastrpc.c loads, in front of
// a process that plays the DSP (STANDIN_DSP: its command, chosen when this is compiled). Memory is
// memfds, which the process opens through /proc. A process that dies is a DSP that restarts: every
// call, the one under way included, ends with AEE_ECONNRESET.
//
// Faults, from the environment at each opening:
//   STANDIN_REFUSE=unsigned|open    the session is refused at this point
//   STANDIN_DIE_AT=N                the DSP dies at the end of its N-th message
//   STANDIN_DIE_AFTER=US            not at its end, but so long after it began
//   STANDIN_MAP_LIMIT=BYTES         mappings beyond these fail with AEE_ENOMEMORY
//   STANDIN_DELAY=US                every answer is late
//   STANDIN_STALE=1                 what the DSP writes is seen when RUN returns, not before
//   STANDIN_LOSE=N                  the N-th return of RUN never reaches the host
//
// For tests: standin_left() is what was not given back (allocations, mappings, processes),
// standin_maps() how many mappings have been made, standin_messages() how many messages the last
// DSP executed.
#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "engine/host/npu/fastrpc.h"
#include "engine/host/npu/protocol.h"
#include "tests/hexagon/standin.h"

enum {
    AEE_ENOMEMORY = (int)0x80000402,
    AEE_EUNABLETOLOAD = (int)0x80000406,
    AEE_EBADPARM = (int)0x8000040e,
    AEE_EUNSUPPORTED = (int)0x80000414,
    AEE_ENOSUCHMAP = (int)0x80000448,
    AEE_ECONNRESET = 104,
    DSP_ERRORS = (int)0x80000400,
    ALLOCATIONS = 1024,
    CDSP = 3,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void *p; // NULL: free
    size_t size;
    int fd;
    bool mapped;
} memory[ALLOCATIONS];
static int64_t mapped;
static int maps;     // so many have been made
static int messages; // the last DSP executed

static struct standin_box *box;
static pthread_mutex_t lane_lock[STANDIN_LANES] = {PTHREAD_MUTEX_INITIALIZER,
                                                   PTHREAD_MUTEX_INITIALIZER};
static pid_t dsp; // 0: none
static atomic_bool dead;
static uint64_t handle;

// Faults.
static int64_t map_limit, delay_us, lose;
static int64_t runs_returned;

static int64_t number(const char *name)
{
    const char *s = getenv(name);
    return s ? atoll(s) : 0;
}

static bool refuses(const char *what)
{
    const char *s = getenv("STANDIN_REFUSE");
    return s && !strcmp(s, what);
}

static void nap(int64_t us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

// ---- memory ----

static int find(const void *p)
{
    for (int i = 0; i < ALLOCATIONS; i++)
        if (memory[i].p == p)
            return i;
    return -1;
}

void *rpcmem_alloc2(int heap, uint32_t flags, size_t size);
void *rpcmem_alloc2(int heap, uint32_t flags, size_t size)
{
    (void)flags;
    if (heap != FASTRPC_HEAP_SYSTEM)
        return NULL;
    pthread_mutex_lock(&lock);
    int i = find(NULL);
    int fd = i < 0 ? -1 : memfd_create("rpcmem", MFD_CLOEXEC);
    void *p = NULL;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        p = p == MAP_FAILED ? NULL : p;
    }
    if (p) {
        memory[i].p = p;
        memory[i].size = size;
        memory[i].fd = fd;
        memory[i].mapped = false;
    } else if (fd >= 0) {
        close(fd);
    }
    pthread_mutex_unlock(&lock);
    return p;
}

void *rpcmem_alloc(int heap, uint32_t flags, int size);
void *rpcmem_alloc(int heap, uint32_t flags, int size)
{
    return size > 0 ? rpcmem_alloc2(heap, flags, (size_t)size) : NULL;
}

void rpcmem_free(void *p);
void rpcmem_free(void *p)
{
    pthread_mutex_lock(&lock);
    int i = p ? find(p) : -1;
    if (i >= 0) {
        munmap(p, memory[i].size);
        close(memory[i].fd);
        memory[i].p = NULL;
    }
    pthread_mutex_unlock(&lock);
}

int rpcmem_to_fd(void *p);
int rpcmem_to_fd(void *p)
{
    pthread_mutex_lock(&lock);
    int i = p ? find(p) : -1, fd = i < 0 ? -1 : memory[i].fd;
    pthread_mutex_unlock(&lock);
    return fd;
}

// ---- the DSP's process ----

// Notices a death once, whoever looks.
static bool lost(void)
{
    pthread_mutex_lock(&lock);
    int status;
    if (dsp && !atomic_load(&dead) && waitpid(dsp, &status, WNOHANG) == dsp) {
        atomic_store(&dead, true);
        dsp = 0;
    }
    pthread_mutex_unlock(&lock);
    return atomic_load(&dead);
}

static void standin_kill(void)
{
    pthread_mutex_lock(&lock);
    if (dsp)
        kill(dsp, SIGKILL);
    pthread_mutex_unlock(&lock);
}

// One call: the mailbox, a bounded sleep, a look whether the DSP is still there.
static int call(int which, struct standin_call *c)
{
    atomic_store((_Atomic uint32_t *)&c->state, CALL_MADE);
    syscall(SYS_futex, &c->state, FUTEX_WAKE, 1, NULL, NULL, 0);
    for (;;) {
        struct timespec t = {0, 5000000};
        uint32_t state = atomic_load((_Atomic uint32_t *)&c->state);
        if (state == CALL_ANSWERED)
            break;
        syscall(SYS_futex, &c->state, FUTEX_WAIT, state, &t, NULL, 0);
        if (lost())
            return AEE_ECONNRESET;
    }
    if (delay_us)
        nap(delay_us);
    if (which == LANE_RUN && lose && ++runs_returned == lose)
        while (!lost())
            nap(1000);
    return lost() ? AEE_ECONNRESET : c->rc ? DSP_ERRORS + c->rc : 0;
}

static int simple(uint32_t kind, int fd, size_t size)
{
    pthread_mutex_lock(&lane_lock[LANE_OTHERS]);
    struct standin_call *c = &box->lane[LANE_OTHERS];
    c->kind = kind;
    c->fd = fd;
    c->size = size;
    int rc = call(LANE_OTHERS, c);
    pthread_mutex_unlock(&lane_lock[LANE_OTHERS]);
    return rc;
}

static int start(void)
{
    static const char *const command[] = {STANDIN_DSP, NULL};
    int fd = memfd_create("mailbox", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof *box))
        return AEE_ENOMEMORY;
    box = mmap(NULL, sizeof *box, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (box == MAP_FAILED)
        return AEE_ENOMEMORY;
    *box = (struct standin_box){.magic = STANDIN_MAGIC,
                                .host = getpid(),
                                .die_at = (uint32_t)number("STANDIN_DIE_AT"),
                                .die_after = (uint32_t)number("STANDIN_DIE_AFTER"),
                                .stale = (uint32_t)number("STANDIN_STALE")};
    pid_t parent = getpid();
    atomic_store(&dead, false);
    runs_returned = 0;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        if (fd == STANDIN_FD ? syscall(SYS_fcntl, fd, 2, 0) < 0 : dup2(fd, STANDIN_FD) < 0)
            _exit(1);
        execvp(command[0], (char *const *)(uintptr_t)command);
        _exit(127);
    }
    close(fd);
    pthread_mutex_lock(&lock);
    dsp = child > 0 ? child : 0;
    pthread_mutex_unlock(&lock);
    return child > 0 ? 0 : AEE_EUNABLETOLOAD;
}

// ---- the vendor's entry points ----

int remote_session_control(uint32_t request, void *data, uint32_t size);
int remote_session_control(uint32_t request, void *data, uint32_t size)
{
    if (request == FASTRPC_SESSION_UNSIGNED) {
        const struct fastrpc_unsigned *u = data;
        if (size != sizeof *u || u->domain != CDSP)
            return AEE_EBADPARM;
        return refuses("unsigned") ? AEE_EUNSUPPORTED : 0;
    }
    if (request != FASTRPC_SESSION_KILL)
        return AEE_EUNSUPPORTED;
    standin_kill();
    return 0;
}

int remote_handle_control(uint32_t request, void *data, uint32_t size);
int remote_handle_control(uint32_t request, void *data, uint32_t size)
{
    struct fastrpc_capability *c = data;
    if (request != FASTRPC_CONTROL_DSP_INFO || size != sizeof *c)
        return AEE_EBADPARM;
    c->value = c->attribute == FASTRPC_ATTRIBUTE_ARCH  ? 0x68
               : c->attribute == FASTRPC_ATTRIBUTE_HVX ? 1
                                                       : 0;
    return 0;
}

int remote_handle64_control(uint64_t h, uint32_t request, void *data, uint32_t size);
int remote_handle64_control(uint64_t h, uint32_t request, void *data, uint32_t size)
{
    (void)data;
    if (h != handle || request != FASTRPC_CONTROL_LATENCY || size != sizeof(struct fastrpc_latency))
        return AEE_EBADPARM;
    return 0;
}

int remote_handle64_invoke(uint64_t h, uint32_t scalars, union fastrpc_arg *arg);
int remote_handle64_invoke(uint64_t h, uint32_t scalars, union fastrpc_arg *arg)
{
    uint32_t in = scalars >> 16 & 255, out = scalars >> 8 & 255, at = 0;
    int which = scalars >> 24 == METHOD_RUN ? LANE_RUN : LANE_OTHERS;
    if (!box || (handle && h != handle) || in + out > STANDIN_BUFFERS)
        return AEE_EBADPARM;
    pthread_mutex_lock(&lane_lock[which]);
    struct standin_call *c = &box->lane[which];
    c->kind = CALL_INVOKE;
    c->scalars = scalars;
    c->handle = h;
    int rc = 0;
    for (uint32_t i = 0; i < in + out; i++) {
        size_t n = arg[i].buf.size;
        if (at + n > STANDIN_BYTES) {
            rc = AEE_EBADPARM;
            break;
        }
        c->bytes[i] = (uint32_t)n;
        if (i < in)
            memcpy(c->data + at, arg[i].buf.data, n);
        at += (c->bytes[i] + 7) / 8 * 8;
    }
    rc = rc ? rc : call(which, c);
    at = 0;
    for (uint32_t i = 0; rc == 0 && i < in + out; i++) {
        if (i >= in)
            memcpy(arg[i].buf.data, c->data + at, arg[i].buf.size);
        at += (c->bytes[i] + 7) / 8 * 8;
    }
    if (rc == 0 && scalars & 15)
        arg[in + out].handle = c->handle;
    pthread_mutex_unlock(&lane_lock[which]);
    return rc;
}

int remote_handle64_close(uint64_t h);
int remote_handle64_close(uint64_t h)
{
    if (!box || h != handle)
        return AEE_EBADPARM;
    union fastrpc_arg arg = {.handle = h};
    int rc = lost() ? AEE_ECONNRESET : 0;
    if (!rc) {
        rc = remote_handle64_invoke(h, METHOD_CLOSE << 24 | 1 << 4, &arg);
        struct standin_call *c = &box->lane[LANE_OTHERS];
        c->kind = CALL_LEAVE;
        atomic_store((_Atomic uint32_t *)&c->state, CALL_MADE);
        syscall(SYS_futex, &c->state, FUTEX_WAKE, 1, NULL, NULL, 0);
        for (int turn = 0; turn < 1000 && !lost(); turn++)
            nap(1000);
        standin_kill(); // one that does not leave
        while (!lost())
            nap(1000);
    }
    messages = (int)box->messages;
    munmap(box, sizeof *box);
    box = NULL;
    handle = 0;
    return rc;
}

int remote_handle64_open(const char *uri, uint64_t *out);
int remote_handle64_open(const char *uri, uint64_t *out)
{
    if (box || refuses("open") || strncmp(uri, "file:///", 8) || !strstr(uri, "&_dom=cdsp") ||
        !strstr(uri, "?partita_npu_skel_handle_invoke&_modver=1.0"))
        return AEE_EUNABLETOLOAD;
    map_limit = number("STANDIN_MAP_LIMIT");
    delay_us = number("STANDIN_DELAY");
    lose = number("STANDIN_LOSE");
    uint32_t length = (uint32_t)strlen(uri) + 1;
    union fastrpc_arg arg[3] = {{.buf = {&length, sizeof length}},
                                {.buf = {(char *)(uintptr_t)uri, length}}};
    int rc = start();
    if (rc == 0)
        rc = remote_handle64_invoke(0, METHOD_OPEN << 24 | 2 << 16 | 1, arg);
    if (rc == 0) {
        handle = *out = arg[2].handle;
        return 0;
    }
    if (box) {
        standin_kill();
        while (dsp && !lost())
            nap(1000);
        munmap(box, sizeof *box);
        box = NULL;
    }
    return rc;
}

int fastrpc_mmap(int domain, int fd, void *p, int offset, size_t size, int flags);
int fastrpc_mmap(int domain, int fd, void *p, int offset, size_t size, int flags)
{
    pthread_mutex_lock(&lock);
    int i = p ? find(p) : -1, rc = 0;
    if (i < 0 || memory[i].fd != fd || offset || size > memory[i].size || memory[i].mapped ||
        domain != CDSP || flags != FASTRPC_MAP_FD || !box)
        rc = AEE_EBADPARM;
    else if (map_limit && mapped + (int64_t)size > map_limit)
        rc = AEE_ENOMEMORY;
    pthread_mutex_unlock(&lock);
    if (!rc)
        rc = simple(CALL_MAP, fd, size);
    pthread_mutex_lock(&lock);
    if (!rc) {
        memory[i].mapped = true;
        mapped += (int64_t)size;
        maps++;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int fastrpc_munmap(int domain, int fd, void *p, size_t size);
int fastrpc_munmap(int domain, int fd, void *p, size_t size)
{
    pthread_mutex_lock(&lock);
    int i = p ? find(p) : -1;
    bool there = i >= 0 && memory[i].mapped && memory[i].fd == fd && domain == CDSP;
    if (there) {
        memory[i].mapped = false;
        mapped -= (int64_t)size;
    }
    pthread_mutex_unlock(&lock);
    if (!there)
        return AEE_ENOSUCHMAP;
    return box ? simple(CALL_UNMAP, fd, size) : 0;
}

// ---- for tests ----

int standin_left(void);
int standin_left(void)
{
    int n = dsp != 0;
    for (int i = 0; i < ALLOCATIONS; i++)
        n += memory[i].p ? 1 + memory[i].mapped : 0;
    return n;
}

int standin_maps(void);
int standin_maps(void)
{
    return maps;
}

int standin_messages(void);
int standin_messages(void)
{
    return messages;
}
