// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a trace of requests. A refusal points; of what was accepted the representatives are
// members with weights that add up to 1, and cutting leaves nothing that is too long.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "explore/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool occurs(const struct trace *t, const struct space_request *r)
{
    for (int64_t i = 0; i < t->n; i++)
        if (t->request[i].n_prompt == r->n_prompt && t->request[i].n_gen == r->n_gen)
            return true;
    return false;
}

static void check(struct trace *t, int most)
{
    struct space_request r[64];
    struct trace_summary s = {0};
    double sum = 0;
    int n = requests_choose(t, most, r, &s);
    if (n < 1 || n > most || n > t->n || s.n != t->n || !(s.unexplained >= 0))
        abort();
    for (int i = 0; i < n; i++) {
        sum += r[i].weight;
        if (!occurs(t, &r[i]) || !(r[i].weight > 0))
            abort();
    }
    if (fabs(sum - 1) > 1e-9)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace t;
    struct err e = {0};
    char *text = malloc(size + 1);
    FILE *f = text && size ? (memcpy(text, data, size), fmemopen(text, size, "r")) : NULL;
    if (f) {
        int rc = trace_read(f, "fuzz.csv", NULL, NULL, &t, &e);
        if (rc < 0 && (e.code != rc || !e.msg[0] || !e.file[0] || t.n || t.request))
            abort();
        if (rc >= 0) {
            check(&t, 1);
            check(&t, 7);
            trace_clip(&t, 2);
            check(&t, 64);
            for (int64_t i = 0; i < t.n; i++)
                if (t.request[i].n_prompt < 1 || t.request[i].n_gen != 1)
                    abort();
            trace_fini(&t);
        }
    }
    free(text);
    return 0;
}
