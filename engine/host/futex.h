// SPDX-License-Identifier: GPL-3.0-or-later
// Sleeping on a 32-bit word, as the kernel offers it, and one turn of a polling loop.
//
// Every sleeper in this folder follows one protocol: announce itself (an atomic counter), read the
// word, check the condition, sleep only while the word still has the value that was read. The waker
// changes the word first and looks for sleepers afterwards. With sequentially consistent accesses
// one of the two always sees the other, so no wake-up is lost; and a waker that sees no sleeper
// makes no system call, which is what keeps a busy queue cheap.
#ifndef ENGINE_HOST_FUTEX_H
#define ENGINE_HOST_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline void futex_sleep(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

// The same for at most `ms` milliseconds, for wakers that may die.
static inline void futex_sleep_for(_Atomic uint32_t *word, uint32_t seen, int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &t, NULL, 0);
}

static inline void futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static inline void cpu_relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

// A turn of a polling loop, the turn-th. Where more threads are ready than there are cores, one
// that polls without ever yielding keeps the core from the very thread that it waits for, until its
// time slice or its patience ends; one that yields every half a microsecond costs the others
// nothing, and itself a short system call where nobody waits for the core.
static inline void poll_turn(unsigned turn)
{
    enum { TURNS_PER_YIELD = 16 };
    if (turn % TURNS_PER_YIELD == TURNS_PER_YIELD - 1)
        sched_yield();
    else
        cpu_relax();
}

#endif
