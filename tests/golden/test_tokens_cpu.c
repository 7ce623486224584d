// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on the CPU: reference operators, kernels of this
// machine, portable kernels; and the references themselves are sound.
#include "tests/golden/tokens_rig.h"

#define CPU(isa) "gpu.enabled=false;npu.enabled=false;cpu.isa=" isa

static void test_prompts(void)
{
    for (int i = 0; i < N_REFERENCES; i++) {
        struct reference *ref = reference_get(i);
        struct tokenizer *t;
        struct err e = {0};
        if (ref && CHECK_OK(tokenizer_create(ref->model->gguf, &t, &e), &e)) {
            for (int k = 0; k < ref->n_lines; k++) {
                const struct line *l = &ref->line[k];
                int32_t ids[512];
                int n = tokenizer_encode(t, l->prompt, strlen(l->prompt), true, false, ids, 512);
                CHECK_INT(n, l->n_prompt);
                for (int p = 0; p < n && p < l->n_prompt; p++)
                    CHECK_INT(ids[p], l->in[p]);
                for (int p = 0; p < l->n && l->best; p++)
                    CHECK(margin(l, p) >= 0);
            }
            tokenizer_destroy(t);
        }
        reference_close(ref);
    }
}

static void cpu(const char *overrides, const char *sync, double q8_tolerance)
{
    run_setting((struct setting){.machine = "host",
                                 .overrides = overrides,
                                 .policy = "cpu_only",
                                 .sync = sync,
                                 .busy = "cpu",
                                 .tolerance = {F32_TOLERANCE, q8_tolerance},
                                 .brief = test_emulated()});
}

static void test_reference_operators(void)
{
    cpu(CPU("ref"), "driver", F32_TOLERANCE);
}

static void test_auto(void)
{
    cpu(CPU("auto"), "sleep_poll", INT8_TOLERANCE);
}

static void test_auto_exact(void)
{
    cpu(CPU("auto") ";cpu.exact=true", "poll", F32_TOLERANCE);
}

static void test_generic(void)
{
    cpu(CPU("generic"), "event", INT8_TOLERANCE);
}

TESTS(golden_tokens_cpu, T(test_prompts), T(test_reference_operators), T(test_auto),
      T(test_auto_exact), T(test_generic))
