# SPDX-License-Identifier: GPL-3.0-or-later
"""GGUF version 3, written and read: as much of it as a small model needs.

A file is: magic, version, counts; metadata (key, type, value); for each tensor its name,
dimensions (the contiguous one first), type and offset; padding to `general.alignment`; the
tensors' bytes, each padded likewise. Everything is little-endian.

Written here: strings, u32, f32, bool, arrays of strings, f32 and i32; tensors in F32 and Q8_0.
Read: all metadata types; tensors in F32, F16 and Q8_0. A numpy array of shape (rows, columns)
is stored with dimensions (columns, rows): the same bytes, named the other way round.

Q8_0: 32 neighbours share one fp16 scale d = max|x| / 127 and hold int8 quants
round(x / d), halves away from zero: 34 bytes for 32 numbers.
"""

import os
import struct

import numpy as np

ALIGN = 32
F32, F16, Q8_0 = 0, 1, 8
U32, I32, FLOAT, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", U32: "I", I32: "i", FLOAT: "f", BOOL: "?",
           10: "Q", 11: "q", 12: "d"}


def quantize(x):
    """Bytes in Q8_0 of a float array whose last axis is a multiple of 32."""
    x = np.ascontiguousarray(x, np.float32).reshape(-1, 32)
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    q = x / np.where(d == 0, np.float32(1), d)
    q = np.trunc(q + np.copysign(np.float32(0.5), q)).astype(np.int8)
    return np.concatenate([d.astype("<f2").view(np.uint8), q.view(np.uint8)], axis=1).tobytes()


def dequantize(data, count):
    """float64 numbers of Q8_0 bytes."""
    blocks = np.frombuffer(data, np.uint8, count // 32 * 34).reshape(-1, 34)
    d = blocks[:, :2].copy().view("<f2").astype(np.float64)
    return (d * blocks[:, 2:].view(np.int8)).reshape(-1)


def pack_string(s):
    s = s.encode()
    return struct.pack("<Q", len(s)) + s


def pack_value(v):
    """Type and value, the type taken from Python's: int as u32, float as f32."""
    if isinstance(v, bool):
        return struct.pack("<I?", BOOL, v)
    if isinstance(v, int):
        return struct.pack("<II", U32, v)
    if isinstance(v, float):
        return struct.pack("<If", FLOAT, v)
    if isinstance(v, str):
        return struct.pack("<I", STRING) + pack_string(v)
    kind = {str: STRING, float: FLOAT, int: I32}[type(v[0])]
    items = (pack_string(s) if kind == STRING else struct.pack("<" + SCALARS[kind], s) for s in v)
    return struct.pack("<IIQ", ARRAY, kind, len(v)) + b"".join(items)


def write(path, meta, tensors):
    """meta: {key: value}; tensors: {name: array}: 2-D in Q8_0, 1-D in F32. Replaces atomically."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(meta))
    for key, value in meta.items():
        head += pack_string(key) + pack_value(value)
    body = b""
    for name, x in tensors.items():
        kind, data = (Q8_0, quantize(x)) if x.ndim == 2 else (F32, x.astype("<f4").tobytes())
        dims = x.shape[::-1]
        head += pack_string(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        head += struct.pack("<IQ", kind, len(body))
        body += data + bytes(-len(data) % ALIGN)
    head += bytes(-len(head) % ALIGN)
    with open(path + ".part", "wb") as out:
        out.write(head + body)
    os.replace(path + ".part", path)


def read(path):
    """(meta, tensors): values as Python's, tensors as float64 arrays of shape (rows, columns)."""
    with open(path, "rb") as file:
        data = file.read()
    at = 0

    def take(fmt):
        nonlocal at
        out = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return out[0] if len(out) == 1 else out

    def string():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at].decode(errors="replace")

    def value(kind):
        if kind == STRING:
            return string()
        if kind == ARRAY:
            item, n = take("IQ")
            return [value(item) for _ in range(n)]
        return take(SCALARS[kind])

    magic, version, n_tensors, n_meta = take("4sIQQ")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"{path}: not a GGUF file of version 2 or 3")
    meta = {}
    for _ in range(n_meta):
        key = string()
        meta[key] = value(take("I"))
    infos = []
    for _ in range(n_tensors):
        name = string()
        dims = [take("Q") for _ in range(take("I"))]
        infos.append((name, dims, *take("IQ")))
    align = meta.get("general.alignment", ALIGN)
    base = (at + align - 1) // align * align
    tensors = {}
    for name, dims, kind, offset in infos:
        count = int(np.prod(dims))
        here = base + offset
        if kind == Q8_0:
            x = dequantize(data[here:here + count // 32 * 34], count)
        elif kind in (F32, F16):
            x = np.frombuffer(data, "<f4" if kind == F32 else "<f2", count, here).astype(np.float64)
        else:
            raise ValueError(f"{path}: {name}: tensor type {kind} is none of F32, F16, Q8_0")
        tensors[name] = x.reshape(dims[::-1])
    return meta, tensors
