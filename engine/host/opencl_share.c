// SPDX-License-Identifier: GPL-3.0-or-later
// Memory that host and device use at once (option `memory`). Four kinds, of which the first that
// its probe (opencl_probe.c) finds coherent is taken:
//
//   host_ptr  any memory of the host, under CL_MEM_USE_HOST_PTR
//   svm       memory of the device's making, fine-grained shared virtual memory; a buffer over its
//             pointer is that memory
//   import    a DMA heap's memory, mapped by the host and given to a Qualcomm driver by its file
//             descriptor (cl_qcom_ext_host_ptr)
//   copy      none: the device has buffers of its own, and map() copies
//
// For svm and import the machine asks this device for the memory of its buffers
// (host_device.take), unless an NPU provides it: then import takes it by its descriptor. Weights
// are the file's bytes in place under host_ptr only; otherwise they are copied once.
#include "engine/host/opencl_kernels.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/log.h"

#ifdef __linux__
#include <linux/dma-heap.h>
#define HAVE_DMA_HEAP 1
#endif

// Declarations of cl_qcom_ext_host_ptr, its cache policies and its DMA-BUF kind.
enum { EXT_HOST_PTR_QCOM = 1 << 29, HOST_IOCOHERENT_QCOM = 0x40A9 };
enum {
    DMABUF_HOST_PTR_QCOM = 0x411D
}; // guess: not in Khronos' headers; a wrong one fails the probe
struct dmabuf_host_ptr {
    cl_uint allocation_type, cache_policy;
    int fd;
    void *host;
};

// One allocation of this device's making.
struct opencl_memory {
    void *host;
    size_t size;
    int fd; // import; else -1
    struct opencl_memory *next;
};

static struct opencl_memory **find(struct opencl *d, const void *host)
{
    struct opencl_memory **m = &d->memory;
    while (*m && (*m)->host != host)
        m = &(*m)->next;
    return m;
}

static void *import_memory(size_t size, int *fd)
{
#ifdef HAVE_DMA_HEAP
    int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);
    if (heap < 0)
        return NULL;
    struct dma_heap_allocation_data a = {.len = size, .fd_flags = O_RDWR | O_CLOEXEC};
    int rc = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &a);
    close(heap);
    if (rc < 0)
        return NULL;
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)a.fd, 0);
    if (host == MAP_FAILED) {
        close((int)a.fd);
        return NULL;
    }
    *fd = (int)a.fd;
    return host;
#else
    (void)size, (void)fd;
    return NULL;
#endif
}

void *opencl_memory_new(struct host_device *h, int64_t bytes, int *fd)
{
    struct opencl *d = (struct opencl *)h;
    enum { PAGE = 4096 };
    size_t size = ((size_t)bytes + PAGE - 1) / PAGE * PAGE;
    struct opencl_memory *m = calloc(1, sizeof *m);
    assert(m);
    m->fd = -1;
    m->size = size;
    if (d->sharing == SHARE_SVM) // 0: the largest alignment that may be asked for
        m->host = clSVMAlloc(d->ctx, CL_MEM_READ_WRITE | CL_MEM_SVM_FINE_GRAIN_BUFFER, size, 0);
    else if (d->sharing == SHARE_IMPORT)
        m->host = import_memory(size, &m->fd);
    if (!m->host) {
        free(m);
        return NULL;
    }
    m->next = d->memory;
    d->memory = m;
    *fd = m->fd > 0 ? m->fd : 0;
    return m->host;
}

void opencl_memory_free(struct host_device *h, void *host)
{
    struct opencl *d = (struct opencl *)h;
    struct opencl_memory **at = find(d, host), *m = *at;
    if (!m)
        return;
    *at = m->next;
    if (m->fd >= 0) {
        munmap(m->host, m->size);
        close(m->fd);
    } else {
        clSVMFree(d->ctx, m->host);
    }
    free(m);
}

cl_mem opencl_share(struct opencl *d, void *host, size_t size, int fd, cl_int *rc)
{
    struct opencl_memory *m = *find(d, host);
    if ((d->sharing == SHARE_SVM && (!m || m->size < size)) ||
        (d->sharing == SHARE_IMPORT && !fd)) {
        *rc = CL_INVALID_HOST_PTR;
        return NULL;
    }
    if (d->sharing != SHARE_IMPORT)
        return clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, size, host, rc);
    struct dmabuf_host_ptr p = {DMABUF_HOST_PTR_QCOM, HOST_IOCOHERENT_QCOM, fd, host};
    return clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR | EXT_HOST_PTR_QCOM, size,
                          &p, rc);
}

bool opencl_can_share(const struct opencl *d, enum opencl_sharing kind)
{
    cl_device_svm_capabilities svm = 0;
    switch (kind) {
    case SHARE_SVM:
        return !clGetDeviceInfo(d->root, CL_DEVICE_SVM_CAPABILITIES, sizeof svm, &svm, NULL) &&
               (svm & CL_DEVICE_SVM_FINE_GRAIN_BUFFER);
    case SHARE_IMPORT:
        return opencl_has(d, "cl_qcom_ext_host_ptr") && opencl_has(d, "cl_qcom_dmabuf_host_ptr");
    default:
        return true;
    }
}
