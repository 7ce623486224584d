// SPDX-License-Identifier: GPL-3.0-or-later
// Kernels that compute nothing of a model: the flag word, and the start-up probes that find out
// what host and device see of each other's memory.
#if PART == 0 && ENC == ENC_F32

// Publishes a ticket. Stored as two 32-bit words, low first: a device without 64-bit stores tears
// nothing, and the moment between the two shows an older ticket, never a newer one.
GROUP __kernel void flag_set(__global volatile uint *flag, uint low, uint high)
{
    if (LANE)
        return;
    atomic_xchg(flag, low);
    if (flag[1] != high)
        atomic_xchg(flag + 1, high);
}

// p[i] = f(i, seed) for every `step`-th i: the host writes or checks the others.
GROUP __kernel void probe_write(__global uint *p, uint n, uint step, uint seed)
{
    uint t = get_group_id(0) * LANES + LANE, all = get_num_groups(0) * LANES;
    for (uint i = t * step; i < n; i += all * step)
        p[i] = i * 2654435761u + seed;
}

// Counts the values that differ from the pattern.
GROUP __kernel void probe_check(const __global uint *p, uint n, uint seed, __global uint *wrong)
{
    uint t = get_group_id(0) * LANES + LANE, all = get_num_groups(0) * LANES, bad = 0;
    for (uint i = t; i < n; i += all)
        bad += p[i] != i * 2654435761u + seed;
    if (bad)
        atomic_add(wrong, bad);
}

// Keeps the device busy for `turns` dependent steps.
GROUP __kernel void probe_spin(__global uint *sink, uint turns)
{
    uint v = sink[0];
    for (uint i = 0; i < turns; i++)
        v = (v << 1 ^ v >> 3) + i;
    if (LANE == 0)
        sink[0] = v;
}

#ifdef __IMAGE_SUPPORT__
// Counts the texels that differ from the words that they should be.
GROUP __kernel void probe_image(read_only image1d_buffer_t image, const __global uint *words, int n,
                                __global uint *wrong)
{
    for (int i = LANE; i < n; i += LANES)
        if (any(read_imageui(image, i) != vload4(i, words)))
            atomic_inc(wrong);
}
#endif

// Which instruction multiplies bytes: 1 for x86's, 2 for cl_khr_integer_dot_product's, 0 for none.
GROUP __kernel void probe_dot(__global int *out)
{
#if DOT_AVX2
    *out = 1;
#elif DOT_PACKED
    *out = 2;
#else
    *out = 0;
#endif
}
#endif
