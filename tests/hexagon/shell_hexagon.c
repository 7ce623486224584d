// SPDX-License-Identifier: GPL-3.0-or-later
// The DSP's process on Hexagon, which has no C library here: system calls of Linux by number (those
// that all newer architectures share), with times of 32 bits.
#include "tests/hexagon/shell.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SYS_OPENAT = 56,
    SYS_CLOSE = 57,
    SYS_EXIT_GROUP = 94,
    SYS_FUTEX = 98,
    SYS_SETITIMER = 103,
    SYS_CLOCK_GETTIME = 113,
    SYS_KILL = 129,
    SYS_GETPID = 172,
    SYS_GETPPID = 173,
    SYS_MUNMAP = 215,
    SYS_MMAP = 222, // the offset in pages
    FUTEX_WAIT = 0,
    FUTEX_WAKE = 1,
    RDWR = 2,
    READ_WRITE = 3,
    SHARED = 1,
    PRIVATE = 2,
    ANONYMOUS = 0x20,
    CWD = -100,
    MONOTONIC = 1,
    SIGKILL = 9,
    THREAD_FLAGS = 0x50f00, // memory, folders, files, signals, thread group, semaphores
};

struct time32 {
    int32_t s, ns;
};

static long call(long n, long a, long b, long c, long d, long f, long g)
{
    register long r6 __asm__("r6") = n;
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = b;
    register long r2 __asm__("r2") = c;
    register long r3 __asm__("r3") = d;
    register long r4 __asm__("r4") = f;
    register long r5 __asm__("r5") = g;
    __asm__ volatile("trap0(#1)"
                     : "+r"(r0)
                     : "r"(r6), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5)
                     : "memory");
    return r0;
}

static bool failed(long rc)
{
    return rc < 0 && rc > -4096;
}

uint32_t shell_load(const uint32_t *p)
{
    uint32_t v;
    __asm__ volatile("%0 = memw(%1+#0)\n\tbarrier" : "=r"(v) : "r"(p) : "memory");
    return v;
}

void shell_store(uint32_t *p, uint32_t v)
{
    __asm__ volatile("barrier\n\tmemw(%0+#0) = %1" ::"r"(p), "r"(v) : "memory");
}

void shell_sleep(uint32_t *p, uint32_t seen, uint32_t us)
{
    struct time32 t = {0, (int32_t)us * 1000};
    call(SYS_FUTEX, (long)p, FUTEX_WAIT, (long)seen, (long)&t, 0, 0);
}

void shell_wake(uint32_t *p)
{
    call(SYS_FUTEX, (long)p, FUTEX_WAKE, 1, 0, 0, 0);
}

int shell_parent(void)
{
    return (int)call(SYS_GETPPID, 0, 0, 0, 0, 0, 0);
}

static char *number(char *at, int v)
{
    char digit[12];
    int n = 0;
    do
        digit[n++] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    while (n > 0)
        *at++ = digit[--n];
    return at;
}

static char *text(char *at, const char *s)
{
    while (*s)
        *at++ = *s++;
    return at;
}

void *shell_map(int pid, int fd, uint64_t size)
{
    char path[64];
    *number(text(number(text(path, "/proc/"), pid), "/fd/"), fd) = 0;
    long own = pid ? call(SYS_OPENAT, CWD, (long)path, RDWR, 0, 0, 0) : fd;
    if (failed(own) || size > UINT32_MAX)
        return NULL;
    long p = call(SYS_MMAP, 0, (long)(uint32_t)size, READ_WRITE, SHARED, own, 0);
    if (pid)
        call(SYS_CLOSE, own, 0, 0, 0, 0, 0);
    return failed(p) ? NULL : (void *)p;
}

void *shell_memory(uint64_t size)
{
    long p = call(SYS_MMAP, 0, (long)(uint32_t)size, READ_WRITE, PRIVATE | ANONYMOUS, -1, 0);
    return failed(p) || size > UINT32_MAX ? NULL : (void *)p;
}

void shell_unmap(void *p, uint64_t size)
{
    call(SYS_MUNMAP, (long)p, (long)(uint32_t)size, 0, 0, 0, 0);
}

// clone(flags, stack); the new thread calls fn, which does not return.
long shell_clone(long flags, void *stack, void (*fn)(void));
__asm__(".text\n"
        ".global shell_clone\n"
        ".type shell_clone, @function\n"
        "shell_clone:\n"
        "    r10 = r2\n"
        "    r2 = #0\n"
        "    r3 = #0\n"
        "    r4 = #0\n"
        "    r6 = #220\n"
        "    trap0(#1)\n"
        "    p0 = cmp.eq(r0, #0)\n"
        "    if (!p0) jumpr r31\n"
        "    callr r10\n"
        ".size shell_clone, . - shell_clone\n");

void shell_thread(void (*fn)(void))
{
    static _Alignas(16) char stack[1 << 18];
    if (failed(shell_clone(THREAD_FLAGS, stack + sizeof stack, fn)))
        shell_leave();
}

uint64_t shell_ns(void)
{
    struct time32 t;
    call(SYS_CLOCK_GETTIME, MONOTONIC, (long)&t, 0, 0, 0, 0);
    return (uint64_t)(uint32_t)t.s * 1000000000 + (uint32_t)t.ns;
}

void shell_die(void)
{
    call(SYS_KILL, call(SYS_GETPID, 0, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0, 0);
}

void shell_die_in(uint32_t us)
{
    struct {
        struct time32 interval, value; // in microseconds
    } t = {{0, 0}, {(int32_t)(us / 1000000), (int32_t)(us % 1000000)}};
    call(SYS_SETITIMER, 0, (long)&t, 0, 0, 0, 0);
}

void shell_leave(void)
{
    call(SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0);
}

__asm__(".text\n"
        ".global _start\n"
        "_start:\n"
        "    r29 = and(r29, #-16)\n"
        "    r30 = #0\n"
        "    call shell_main\n");
