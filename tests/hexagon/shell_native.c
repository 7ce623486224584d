// SPDX-License-Identifier: GPL-3.0-or-later
// The DSP's process on this machine.
#include "tests/hexagon/shell.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

uint32_t shell_load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

void shell_store(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

void shell_sleep(uint32_t *p, uint32_t seen, uint32_t us)
{
    struct timespec t = {0, us * 1000};
    syscall(SYS_futex, p, FUTEX_WAIT, seen, &t, NULL, 0);
}

void shell_wake(uint32_t *p)
{
    syscall(SYS_futex, p, FUTEX_WAKE, 1, NULL, NULL, 0);
}

int shell_parent(void)
{
    return getppid();
}

void *shell_map(int pid, int fd, uint64_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    int own = pid ? open(path, O_RDWR) : fd;
    void *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
    if (pid && own >= 0)
        close(own);
    return p == MAP_FAILED ? NULL : p;
}

void *shell_memory(uint64_t size)
{
    void *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void shell_unmap(void *p, uint64_t size)
{
    munmap(p, (size_t)size);
}

static void (*thread_fn)(void);

static void *thread_main(void *arg)
{
    (void)arg;
    thread_fn();
    return NULL;
}

void shell_thread(void (*fn)(void))
{
    pthread_t t;
    thread_fn = fn;
    if (pthread_create(&t, NULL, thread_main, NULL))
        _exit(1);
    pthread_detach(t);
}

uint64_t shell_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void shell_die(void)
{
    kill(getpid(), SIGKILL);
}

void shell_die_in(uint32_t us)
{
    struct itimerval t = {.it_value = {us / 1000000, us % 1000000}};
    setitimer(ITIMER_REAL, &t, NULL);
}

void shell_leave(void)
{
    _exit(0);
}

int main(void)
{
    shell_main();
    return 0;
}
