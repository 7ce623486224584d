// SPDX-License-Identifier: GPL-3.0-or-later
// The skel against a host that does everything wrong: methods, rings and messages of any bytes end
// in a status, and no byte outside the arenas is touched (guards here, the sanitizer in its build).
// And what the ring promises: order, wrap-around, why RUN returns, a host that runs beside it.
#include "tests/engine/host/npu/dsp_native.h"

#include <pthread.h>
#include "tests/harness.h"

void *dsp_memory[4];

int HAP_mmap_get(int fd, void **address, uint64_t *physical)
{
    *address = fd >= 0 && fd < 4 ? dsp_memory[fd] : NULL;
    *physical = 0;
    return *address ? 0 : 1;
}

int HAP_mmap_put(int fd)
{
    return fd < 0;
}

// Nobody looks at the times.
uint64_t HAP_perf_get_qtimer_count(void)
{
    return 0;
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8 ^ *seed << 16;
}

// An arena between guards.
enum { GUARD = 4096 };
static void guarded_open(struct dsp_case *c, uint8_t **all, uint64_t size)
{
    dsp_open(c, size);
    *all = aligned_alloc(4096, (c->size + 2 * GUARD + 4095) / 4096 * 4096);
    memset(*all, 0xa5, c->size + 2 * GUARD);
    memcpy(*all + GUARD, c->mem, c->size);
    free(c->mem);
    c->mem = *all + GUARD;
}

static bool guards_stand(const struct dsp_case *c)
{
    for (int i = 0; i < GUARD; i++)
        if (c->mem[-1 - i] != 0xa5 || c->mem[c->size + (uint64_t)i] != 0xa5)
            return false;
    return true;
}

// One valid message of every operator over small tensors, a PREPARE before each matmul.
static int valid(struct dsp_case *c, struct npu_message out[16])
{
    static const struct encoding *const encs[] = {&encoding_f32, &encoding_q8_0, &encoding_q4_k,
                                                  &encoding_q6_k};
    int n = 0;
    struct npu_message base = dsp_message(NPU_ADD), m;
    base.m = 64, base.k = 256, base.n1 = 3, base.n_past = 2;
    base.n_head = 4, base.n_head_kv = 2, base.d_head = 16, base.rope_dim = 16;
    base.eps = 1e-5f, base.scale = 0.25f;
    base.in = dsp_tensor(c, 4, 128 * 4), base.in2 = dsp_tensor(c, 4, 128 * 4);
    base.out = dsp_tensor(c, 4, 128 * 4);
    base.kcache = dsp_tensor(c, 8, 32 * 4), base.vcache = dsp_tensor(c, 8, 32 * 4);
    base.angles = dsp_tensor(c, 8, 16 * 4);
    base.w[0] = dsp_tensor(c, 1, 64 * 4);
    for (enum npu_op op = NPU_EMBED; op < NPU_OPS; op++) {
        base.op = op;
        if (op != NPU_EMBED && op != NPU_MATMUL)
            out[n++] = base;
    }
    for (int e = 0; e < 4; e++) {
        char row[33 * 1024];
        float values[256];
        const struct npu_packing p = npu_packing(encs[e], 33, 256, false);
        const int64_t pitch = encoding_size(encs[e], 256);
        for (int i = 0; i < 256; i++)
            values[i] = (float)(i % 17 - 8);
        for (int r = 0; r < 33; r++)
            encs[e]->encode(values, row + r * pitch, 256);
        m = base;
        m.op = NPU_MATMUL;
        m.m = m.m1 = 33, m.n_pad = 5, m.n_parts = 1, m.order = (uint32_t)e % 2;
        m.in = dsp_tensor(c, 4, 256 * 4);
        dsp_weights(c, &m, 0, &p, row, pitch);
        m.graph = dsp_tensor(c, 1, npu_graph_bytes(npu_forms(m.weights, 1), m.order, m.k, m.n_pad));
        m.op = NPU_PREPARE;
        out[n++] = m;
        m.op = NPU_MATMUL;
        out[n++] = m;
    }
    m.op = NPU_EMBED, m.m = 256, m.out = dsp_tensor(c, 4, 256 * 4);
    out[n++] = m;
    return n;
}

// Sends messages into a fresh session; the status of the last.
static uint32_t send(struct dsp_case *c, const struct npu_message *m, int n)
{
    struct npu_ran ran = {0};
    struct npu_ring *r = dsp_ring(c);
    r->head = r->done = r->status = 0;
    for (int i = 0; i < n; i++)
        dsp_send(c, m + i);
    CHECK_INT(dsp_run_here(c, &ran), 0);
    CHECK(ran.status < NPU_STATUS_COUNT);
    CHECK_INT(ran.reason, ran.status ? NPU_RAN_FAILED : NPU_RAN_IDLE);
    CHECK(ran.status ? ran.done < (uint64_t)n : ran.done == (uint64_t)n);
    CHECK_INT(r->done, ran.done);
    CHECK_INT(r->status, ran.status);
    return ran.status;
}

static void test_mutated_messages(void)
{
    static const uint32_t odd[] = {
        0,          1,          3,    31,         33, 127, 128, 0x7fffffff, 0x80000000, 0xffffff80,
        0xffffffff, 0x10000000, 4096, 0xfffff000, 2,  511, 512, 65536,      1 << 20};
    struct dsp_case c;
    uint8_t *all;
    struct npu_message m[16], pair[2];
    uint32_t seed = 1, refused = 0;
    guarded_open(&c, &all, 300 << 10);
    const int n = valid(&c, m);
    c.size = c.used; // the last tensor ends where the arena ends
    memset(c.mem + c.size, 0xa5, GUARD);
    CHECK_INT(send(&c, m, n), NPU_OK);
    for (int i = 0; i < 20000 && guards_stand(&c); i++) {
        const int which = (int)(next(&seed) % (uint32_t)n);
        pair[0] = m[which > 0 ? which - 1 : 0];
        pair[1] = m[which];
        for (uint32_t j = next(&seed) % 3 + 1; j; j--) {
            uint32_t at = next(&seed) % (NPU_MESSAGE_BYTES / 4), v = odd[next(&seed) % 19];
            uint32_t old;
            memcpy(&old, (char *)&pair[1] + at * 4, 4);
            v = next(&seed) % 3 ? v : old + next(&seed) % 9 - 4;
            memcpy((char *)&pair[1] + at * 4, &v, 4);
        }
        refused += send(&c, pair, 2) != NPU_OK;
    }
    CHECK(guards_stand(&c));
    CHECK(refused > 2000 && refused < 20000);
    free(all);
}

static void test_random_bytes(void)
{
    struct dsp_case c;
    uint8_t *all;
    uint32_t seed = 7, by_status[NPU_STATUS_COUNT] = {0};
    guarded_open(&c, &all, 64 << 10);
    for (int i = 0; i < 20000 && guards_stand(&c); i++) {
        struct npu_message m;
        uint32_t word[NPU_MESSAGE_BYTES / 4];
        const uint32_t mask = i % 2 ? 0xffffffffu : 0xffu;
        for (int j = 0; j < NPU_MESSAGE_BYTES / 4; j++)
            word[j] = next(&seed) & (next(&seed) % 4 ? mask : 0);
        memcpy(&m, word, sizeof m);
        m.op %= NPU_OPS + 1;
        by_status[send(&c, &m, 1)]++;
    }
    CHECK(guards_stand(&c));
    CHECK(by_status[NPU_BAD_OP] && by_status[NPU_BAD_ARENA] && by_status[NPU_BAD_SHAPE] &&
          by_status[NPU_OK]);
    free(all);
}

static void test_what_is_refused(void)
{
    struct dsp_case c;
    struct npu_message m[16], x[2];
    dsp_open(&c, 300 << 10);
    const int n = valid(&c, m);
    c.size = c.used;
    const struct npu_message *add = m, *mm = m; // ADD, the int8 MATMUL behind its PREPARE
    while (add->op != NPU_ADD)
        add++;
    while (mm->op != NPU_MATMUL || mm->weights[0] != NPU_W_I8)
        mm++;
    CHECK_INT(send(&c, m, n), NPU_OK);
#define REFUSED(message, change, want)                                                             \
    do {                                                                                           \
        x[0] = (message)[(message)->op == NPU_MATMUL ? -1 : 0];                                    \
        x[1] = *(message);                                                                         \
        change;                                                                                    \
        CHECK_INT(send(&c, x, 2), want);                                                           \
    } while (0)
    REFUSED(add, (void)0, NPU_OK);
    REFUSED(add, x[1].op = NPU_OPS, NPU_BAD_OP);
    REFUSED(add, x[1].in.arena = 1, NPU_BAD_ARENA);
    REFUSED(add, x[1].in.arena = NPU_NO_TENSOR, NPU_BAD_ARENA);
    REFUSED(add, x[1].n1 = 5, NPU_BAD_BOUNDS);
    REFUSED(add, x[1].m = 129, NPU_BAD_SHAPE); // wider than the pitch
    REFUSED(add, x[1].in.offset = (uint32_t)c.size - 64, NPU_BAD_BOUNDS);
    REFUSED(add, x[1].in.offset = 0xffffff80, NPU_BAD_BOUNDS);
    REFUSED(add, x[1].in.pitch = 0xfffffffc, NPU_BAD_BOUNDS);
    REFUSED(add, x[1].in.pitch = 0, NPU_BAD_SHAPE);
    REFUSED(add, x[1].in.offset += 2, NPU_BAD_SHAPE);
    REFUSED(add, x[1].out.offset = 0, NPU_BAD_BOUNDS); // the ring
    REFUSED(add, x[1].n0 = -1, NPU_BAD_SHAPE);
    REFUSED(mm, (void)0, NPU_OK);
    REFUSED(mm, x[1].graph.offset += 128, NPU_BAD_GRAPH);
    REFUSED(mm, x[1].order ^= 1, NPU_BAD_GRAPH);
    REFUSED(mm, x[1].n_pad = 6, NPU_BAD_GRAPH);
    REFUSED(mm, x[1].m0 = 1, NPU_BAD_GRAPH);
    REFUSED(mm, x[1].weights[0] = NPU_W_F32, NPU_BAD_GRAPH); // no room for F32 activations
    REFUSED(mm, x[1].weights[0] = NPU_W_CLASSES, NPU_BAD_SHAPE);
    REFUSED(mm, x[1].halves[0] = 3, NPU_BAD_SHAPE);
    REFUSED(mm, x[0].k = x[1].k = 250, NPU_BAD_SHAPE);
    REFUSED(mm, x[0].k = 100000, NPU_BAD_BOUNDS); // PREPARE: the graph does not fit
    REFUSED(mm, x[1].first[0] = 32, NPU_BAD_BOUNDS);
    REFUSED(mm, x[1].w[0].rows = 32, NPU_BAD_SHAPE);
    REFUSED(mm, x[1].w[0].pitch = 1 << 20, NPU_BAD_BOUNDS);
    REFUSED(mm, x[1].w[0].pitch = 128, NPU_BAD_SHAPE);
    REFUSED(mm, x[1].n1 = 4, NPU_OK);
    REFUSED(mm, x[1].n_past = -1, NPU_BAD_SHAPE);
    REFUSED(&m[n - 1], *(int32_t *)(void *)dsp_row(&c, &m[n - 1].in, 1) = 33, NPU_BAD_BOUNDS);
    REFUSED(&m[n - 1], *(int32_t *)(void *)dsp_row(&c, &m[n - 1].in, 1) = -1, NPU_BAD_BOUNDS);
    dsp_close(&c);
}

static void test_after_a_refusal_nothing_completes(void)
{
    struct dsp_case c;
    struct npu_ran ran;
    struct npu_message nop = dsp_message(NPU_NOP), bad = dsp_message(NPU_OPS);
    dsp_open(&c, 0);
    dsp_memory[0] = c.mem;
    CHECK_INT(dsp_session(), 0);
    CHECK_INT(dsp_map(0, 0, c.size), 0);
    dsp_send(&c, &nop);
    dsp_send(&c, &bad);
    dsp_send(&c, &nop);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(dsp_run(1, &ran), 0);
        CHECK_INT(ran.reason, NPU_RAN_FAILED);
        CHECK_INT(ran.status, NPU_BAD_OP);
        CHECK_INT(ran.done, 1);
    }
    CHECK_INT(dsp_end(), 0);
    dsp_close(&c);
}

static void test_why_run_returns(void)
{
    struct dsp_case c;
    struct npu_ran ran;
    struct npu_message nop = dsp_message(NPU_NOP);
    dsp_open(&c, 0);
    dsp_memory[0] = c.mem;
    CHECK_INT(dsp_session(), 0);
    CHECK_INT(dsp_map(0, 0, c.size), 0);
    struct npu_ring *r = dsp_ring(&c);
    for (int turn = 0; turn < 5; turn++) { // more messages than slots
        for (int i = 0; i < 200; i++)
            dsp_send(&c, &nop);
        r->wake = r->head - 100;
        CHECK_INT(dsp_run(3, &ran), 0);
        CHECK_INT(ran.reason, NPU_RAN_WAKE);
        CHECK_INT(ran.done, r->head - 100);
        r->wake = 0;
        CHECK_INT(dsp_run(3, &ran), 0);
        CHECK_INT(ran.reason, NPU_RAN_IDLE);
        CHECK_INT(r->done, r->head);
    }
    r->stop = 1;
    CHECK_INT(dsp_run(0, &ran), 0);
    CHECK_INT(ran.reason, NPU_RAN_STOP);
    r->stop = 0;
    r->head += NPU_SLOTS + 1;
    CHECK_INT(dsp_run(0, &ran), 0);
    CHECK_INT(ran.reason, NPU_RAN_FAILED);
    CHECK_INT(dsp_end(), 0);
    dsp_close(&c);
}

static void *run_forever(void *ran)
{
    dsp_run(0, ran);
    return NULL;
}

// A host that posts while RUN runs: results are there when `done` says so.
static void test_host_beside_the_loop(void)
{
    enum { N = 3000 };
    struct dsp_case c;
    struct npu_ran ran = {0};
    struct npu_message m = dsp_message(NPU_ADD);
    pthread_t thread;
    dsp_open(&c, 4096);
    dsp_memory[0] = c.mem;
    m.m = 1, m.n1 = 1;
    m.in = dsp_tensor(&c, 1, 4), m.out = dsp_tensor(&c, 1, 4);
    *dsp_row(&c, &m.in, 0) = 1;
    CHECK_INT(dsp_session(), 0);
    CHECK_INT(dsp_map(0, 0, c.size), 0);
    struct npu_ring *r = dsp_ring(&c);
    pthread_create(&thread, NULL, run_forever, &ran);
    bool right = true;
    for (uint64_t s = 1; s <= N; s++) {
        *dsp_slot(&c, s) = m;
        __atomic_store_n(&r->head, s, __ATOMIC_RELEASE);
        if (s % 7)
            continue;
        while (__atomic_load_n(&r->done, __ATOMIC_ACQUIRE) < s)
            sched_yield();
        right = right && *dsp_row(&c, &m.out, 0) == (float)s;
    }
    CHECK(right);
    while (__atomic_load_n(&r->done, __ATOMIC_ACQUIRE) < N)
        sched_yield();
    __atomic_store_n(&r->stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    CHECK_INT(ran.reason, NPU_RAN_STOP);
    CHECK_INT(ran.done, N);
    CHECK_INT(dsp_end(), 0);
    dsp_close(&c);
}

static void test_methods(void)
{
    struct dsp_case c;
    struct npu_info info;
    struct npu_ran ran;
    uint32_t id = 0;
    const uint32_t info_sc = NPU_SCALARS(METHOD_INFO, 0, 1, 0, 0);
    dsp_open(&c, 0);
    dsp_memory[0] = c.mem;
    dsp_memory[1] = c.mem;
    CHECK(dsp_call(info_sc, &info, sizeof info, NULL, 0) != 0); // no session
    CHECK_INT(dsp_session(), 0);
    CHECK(dsp_session() != 0);
    CHECK_INT(dsp_call(info_sc, &info, sizeof info, NULL, 0), 0);
    CHECK_INT(info.version, NPU_VERSION);
    CHECK_INT(info.hvx_bytes, 0);
    CHECK(dsp_call(info_sc, &info, sizeof info - 1, NULL, 0) != 0);
    CHECK(dsp_call(info_sc, NULL, sizeof info, NULL, 0) != 0);
    CHECK(dsp_call(NPU_SCALARS(METHOD_INFO, 1, 0, 0, 0), &info, sizeof info, NULL, 0) != 0);
    CHECK(dsp_call(NPU_SCALARS(METHOD_RUN + 1, 0, 0, 0, 0), NULL, 0, NULL, 0) != 0);
    CHECK(dsp_run(1, &ran) != 0); // no ring
    CHECK(dsp_map(0, 0, 100) != 0);
    CHECK(dsp_map(0, 3, c.size) != 0); // no such memory
    CHECK(dsp_map(NPU_MAX_ARENAS, 0, c.size) != 0);
    CHECK(dsp_map(1, 1, 0) != 0);
    dsp_ring(&c)->version++;
    CHECK(dsp_map(0, 0, c.size) != 0);
    dsp_ring(&c)->version--;
    CHECK_INT(dsp_map(0, 0, c.size), 0);
    CHECK(dsp_map(0, 0, c.size) != 0); // taken
    CHECK_INT(dsp_map(1, 1, c.size), 0);
    id = 1;
    CHECK_INT(dsp_call(NPU_SCALARS(METHOD_UNMAP, 1, 0, 0, 0), &id, sizeof id, NULL, 0), 0);
    CHECK(dsp_call(NPU_SCALARS(METHOD_UNMAP, 1, 0, 0, 0), &id, sizeof id, NULL, 0) != 0);
    CHECK_INT(dsp_end(), 0);
    CHECK(dsp_end() != 0);
    dsp_close(&c);
}

TESTS(engine_host_npu_dsp_hostile, T(test_mutated_messages), T(test_random_bytes),
      T(test_what_is_refused), T(test_after_a_refusal_nothing_completes), T(test_why_run_returns),
      T(test_host_beside_the_loop), T(test_methods))
