// SPDX-License-Identifier: GPL-3.0-or-later
// Loading the driver library. There is no compile-time knowledge of the vendor and no difference
// here between a phone's library and the stand-in of the tests, which is taken only when its path
// is configured: an emulated DSP must never replace the tile NPU by itself.
//
// Error codes come in two ranges: those of the DSP begin at 0x80000400, those of the driver's own
// side at 0. The DSP's may also come as a plain small number, so both are named alike.
#include "engine/host/npu/fastrpc.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define PLAIN_NAME "libcdsprpc.so"

enum {
    DSP_ERRORS = 0x400, // behind the sign bit
    EFAILED = 1,
    ENOMEMORY = 2,
    EUNABLETOLOAD = 6,
    EBADSTATE = 0x0d,
    EINVHANDLE = 0x2c,
    ERPC = 0x200,
    ECONNRESET_PLAIN = 104,
    EMMAP = 0x65,
    EIONMAP = 0x66,
    EIONALLOC = 0x67,
    ENORPCMEMORY = 0x68,
    ENOSUCHPROCESS = 0x41,
};

static const struct {
    int code;
    const char *name;
} names[] = {
    {EFAILED, "AEE_EFAILED"},
    {ENOMEMORY, "AEE_ENOMEMORY"},
    {0x04, "AEE_EVERSIONNOTSUPPORT"},
    {EUNABLETOLOAD, "AEE_EUNABLETOLOAD"},
    {EBADSTATE, "AEE_EBADSTATE"},
    {0x0e, "AEE_EBADPARM"},
    {0x10, "AEE_EBADITEM"},
    {0x14, "AEE_EUNSUPPORTED"},
    {0x15, "AEE_EPRIVLEVEL"},
    {0x16, "AEE_ERESOURCENOTFOUND"},
    {0x1a, "AEE_EALREADY"},
    {0x2b, "AEE_ENOTALLOWED"},
    {EINVHANDLE, "AEE_EINVHANDLE"},
    {0x30, "AEE_ECPUEXCEPTION"},
    {0x38, "AEE_EINVALIDSIGNATURE"},
    {0x39, "AEE_EINVALIDDOMAIN"},
    {0x3a, "AEE_EINVALIDFD"},
    {0x3b, "AEE_EINVALIDDEVICE"},
    {0x3e, "AEE_ENOSUCHMOD"},
    {ENOSUCHPROCESS, "AEE_ENOSUCHPROCESS"},
    {0x42, "AEE_ENOSUCHSYMBOL"},
    {0x45, "AEE_ENOSUCHFILE"},
    {0x48, "AEE_ENOSUCHMAP"},
    {0x53, "AEE_EBADASID"},
    {EMMAP, "AEE_EMMAP"},
    {EIONMAP, "AEE_EIONMAP"},
    {EIONALLOC, "AEE_EIONALLOC"},
    {ENORPCMEMORY, "AEE_ENORPCMEMORY"},
    {0x6c, "AEE_EUNSUPPORTEDAPI"},
    {0x72, "AEE_ECONNREFUSED"},
    {0x81, "AEE_EUNSIGNEDMOD"},
    {0x8a, "AEE_ENOSESSION"},
    {ERPC, "AEE_ERPC"},
    {ECONNRESET_PLAIN, "AEE_ECONNRESET"},
};

// The number behind 0x80000400, or the code itself.
static int number_of(int code)
{
    uint32_t u = (uint32_t)code;
    if (u >= 0x80000000u + DSP_ERRORS && u < 0x80000000u + 2 * DSP_ERRORS)
        return (int)(u - 0x80000000u - DSP_ERRORS);
    return code;
}

const char *fastrpc_error(int code)
{
    static _Thread_local char text[2][48];
    static _Thread_local unsigned turn;
    const char *name = "error";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == number_of(code))
            name = names[i].name;
    char *t = text[turn++ % 2];
    snprintf(t, sizeof text[0], "%s (0x%x)", name, (unsigned)code);
    return t;
}

int fastrpc_lost(int code)
{
    int n = number_of(code);
    return n == ECONNRESET_PLAIN || n == EBADSTATE || n == ENOSUCHPROCESS || n == ERPC;
}

int fastrpc_full(int code)
{
    int n = number_of(code);
    return n == ENOMEMORY || n == EMMAP || n == EIONMAP || n == EIONALLOC || n == ENORPCMEMORY;
}

// A function pointer from dlsym without the conversion that ISO C does not have.
static int find(void *library, const char *name, void *to)
{
    void *symbol = dlsym(library, name);
    memcpy(to, &symbol, sizeof symbol);
    return symbol != NULL;
}

int fastrpc_load(const char *path, struct fastrpc *out, struct err *e)
{
    struct fastrpc f = {0};
    const char *name = path && *path ? path : PLAIN_NAME;
    f.library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!f.library)
        return err_set(e, ERR_DEVICE, "no Hexagon DSP: its driver library cannot be loaded (%s)",
                       dlerror());
    const struct {
        const char *name;
        void *to;
    } wanted[] = {
        {"rpcmem_alloc", &f.rpcmem_alloc},     {"rpcmem_free", &f.rpcmem_free},
        {"rpcmem_to_fd", &f.rpcmem_to_fd},     {"fastrpc_mmap", &f.mmap},
        {"fastrpc_munmap", &f.munmap},         {"remote_session_control", &f.session_control},
        {"remote_handle64_open", &f.open},     {"remote_handle64_invoke", &f.invoke},
        {"remote_handle64_close", &f.close},   {"remote_handle64_control", &f.handle_control},
        {"remote_handle_control", &f.control},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!find(f.library, wanted[i].name, wanted[i].to)) {
            dlclose(f.library);
            return err_set(e, ERR_UNSUPPORTED, "%s: no entry point %s: too old a driver library",
                           name, wanted[i].name);
        }
    find(f.library, "rpcmem_alloc2", &f.rpcmem_alloc2);
    *out = f;
    return 0;
}

void fastrpc_unload(struct fastrpc *f)
{
    if (f->library)
        dlclose(f->library);
    *f = (struct fastrpc){0};
}

void *fastrpc_alloc(const struct fastrpc *f, int64_t size)
{
    if (f->rpcmem_alloc2)
        return f->rpcmem_alloc2(FASTRPC_HEAP_SYSTEM, FASTRPC_CACHED, (size_t)size);
    return size <= INT_MAX ? f->rpcmem_alloc(FASTRPC_HEAP_SYSTEM, FASTRPC_CACHED, (int)size) : NULL;
}
