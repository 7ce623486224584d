// SPDX-License-Identifier: GPL-3.0-or-later
// What the DSP's process needs of the operating system: system calls on Hexagon (shell_hexagon.c),
// the C library natively (shell_native.c).
#ifndef TESTS_HEXAGON_SHELL_H
#define TESTS_HEXAGON_SHELL_H

#include <stdint.h>

uint32_t shell_load(const uint32_t *p);                    // acquire
void shell_store(uint32_t *p, uint32_t v);                 // release
void shell_sleep(uint32_t *p, uint32_t seen, uint32_t us); // futex wait of so long at most
void shell_wake(uint32_t *p);
int shell_parent(void);                          // process id
void *shell_map(int pid, int fd, uint64_t size); // fd of process pid, or of one's own (pid 0); NULL
void *shell_memory(uint64_t size);               // its own; NULL: none
void shell_unmap(void *p, uint64_t size);
void shell_thread(void (*fn)(void));
uint64_t shell_ns(void); // monotonic
void shell_die(void);    // as a DSP does: at once
void shell_die_in(uint32_t us);
void shell_leave(void);

void shell_main(void); // shell.c

#endif
