// SPDX-License-Identifier: GPL-3.0-or-later
// The driver library of a Snapdragon's DSPs (libcdsprpc.so), loaded at run time: no header of the
// vendor is needed to build, and a machine without the library is a machine without the device.
// Names, signatures and numbers are those of the open FastRPC user space (qualcomm/fastrpc, inc/).
#ifndef ENGINE_HOST_NPU_FASTRPC_H
#define ENGINE_HOST_NPU_FASTRPC_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum {
    FASTRPC_HEAP_SYSTEM = 25, // pages from anywhere, behind the DSP's own MMU
    FASTRPC_CACHED = 1,
    FASTRPC_MAP_FD = 2, // fastrpc_mmap: the DSP finds the mapping by its file descriptor

    FASTRPC_SESSION_UNSIGNED = 2, // remote_session_control, struct fastrpc_unsigned
    FASTRPC_SESSION_KILL = 6,     // remote_session_control, struct fastrpc_domain
    FASTRPC_CONTROL_LATENCY = 1,  // remote_handle64_control, struct fastrpc_latency
    FASTRPC_CONTROL_DSP_INFO = 2, // remote_handle_control, struct fastrpc_capability
    FASTRPC_LATENCY_POLL = 3,     // fastrpc_latency.enable: the driver polls for the answer

    FASTRPC_ATTRIBUTE_HVX = 3, // vectors of 128 bytes
    FASTRPC_ATTRIBUTE_VTCM_PAGE = 4,
    FASTRPC_ATTRIBUTE_ARCH = 6,
    FASTRPC_ATTRIBUTE_HMX = 7,
};

struct fastrpc_unsigned {
    int domain, enable;
};
struct fastrpc_domain {
    int domain;
};
struct fastrpc_latency {
    uint32_t enable, us;
};
struct fastrpc_capability {
    uint32_t domain, attribute, value;
};

// One argument of an invocation.
union fastrpc_arg {
    struct {
        void *data;
        size_t size;
    } buf;
    uint64_t handle;
};

// Method and the numbers of input and output buffers, as an invocation wants them.
static inline uint32_t fastrpc_scalars(uint32_t method, uint32_t in, uint32_t out)
{
    return method << 24 | in << 16 | out << 8;
}

struct fastrpc {
    void *library;
    void *(*rpcmem_alloc)(int heap, uint32_t flags, int size);
    void *(*rpcmem_alloc2)(int heap, uint32_t flags, size_t size); // NULL in old libraries
    void (*rpcmem_free)(void *p);
    int (*rpcmem_to_fd)(void *p);
    int (*mmap)(int domain, int fd, void *p, int offset, size_t size, int flags);
    int (*munmap)(int domain, int fd, void *p, size_t size);
    int (*session_control)(uint32_t request, void *data, uint32_t size);
    int (*open)(const char *uri, uint64_t *handle);
    int (*invoke)(uint64_t handle, uint32_t scalars, union fastrpc_arg *args);
    int (*close)(uint64_t handle);
    int (*handle_control)(uint64_t handle, uint32_t request, void *data, uint32_t size);
    int (*control)(uint32_t request, void *data, uint32_t size); // of no handle
};

// `path` empty: the plain name, where the dynamic linker looks. ERR_DEVICE when there is no such
// library, ERR_UNSUPPORTED when it lacks an entry point.
int fastrpc_load(const char *path, struct fastrpc *out, struct err *e);
void fastrpc_unload(struct fastrpc *f);

void *fastrpc_alloc(const struct fastrpc *f, int64_t size); // NULL: no memory

// "AEE_ENOMEMORY (0x80000402)". The text lives until the thread's next call but one.
const char *fastrpc_error(int code);
// The DSP or its process went away: nothing that was there is left.
int fastrpc_lost(int code);
// It was memory, or room for a mapping, that was wanting.
int fastrpc_full(int code);

#endif
