// SPDX-License-Identifier: GPL-3.0-or-later
// Packing weights for the DSP, on the host: see layout.h for what comes out.
#ifndef ENGINE_HOST_NPU_PACK_H
#define ENGINE_HOST_NPU_PACK_H

#include <stdbool.h>
#include "engine/encoding.h"
#include "engine/host/npu/layout.h"

// How a tensor [rows, cols] of an encoding is packed. All of it goes into messages as it is:
// weights, halves, minima, and row.bytes as the pitch.
struct npu_packing {
    const struct encoding *enc;
    int64_t rows, cols;
    enum npu_weights weights;
    uint32_t halves, minima;
    struct npu_row row;
};
// exact: F32 tiles for every encoding. Encodings without integers have F32 tiles always.
struct npu_packing npu_packing(const struct encoding *enc, int64_t rows, int64_t cols, bool exact);

// Rows of tiles of the whole tensor; a row of tiles has row.bytes.
static inline int64_t npu_packed_rows(const struct npu_packing *p)
{
    return (p->rows + NPU_TILE - 1) / NPU_TILE;
}
// Bytes of rows of tiles [t0, t1).
static inline int64_t npu_packed_bytes(const struct npu_packing *p, int64_t t0, int64_t t1)
{
    return (t1 - t0) * (int64_t)p->row.bytes;
}

// Packs rows of tiles [t0, t1) of the tensor whose encoded rows begin at `data`, `pitch` bytes
// apart. Weight rows behind the tensor's last one are zeros. `out` is aligned to 128 bytes.
void npu_pack(const struct npu_packing *p, const void *data, int64_t pitch, int64_t t0, int64_t t1,
              void *out);

#endif
