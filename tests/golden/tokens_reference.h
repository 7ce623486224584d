// SPDX-License-Identifier: GPL-3.0-or-later
// Reference token ids, read from NAME.greedy.json: one JSON object per line (data/README.md).
//
// Position p of a line is fed `in[p]` and answers `next[p]`: the prompt's own tokens while it
// lasts, then the best one. A line may say nothing about its logits (`best` is NULL); then only the
// tokens are known, and that no margin was below `min_margin`.
#ifndef TESTS_GOLDEN_TOKENS_REFERENCE_H
#define TESTS_GOLDEN_TOKENS_REFERENCE_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/gguf.h"
#include "engine/model.h"
#include "engine/tokenizer.h"
#include "tests/harness.h"

enum { LINES_MAX = 16 };

struct best_two {
    int32_t top[2];
    double logit[2];
};

struct line {
    char *prompt;
    int n_prompt; // tokens, with BOS
    int n;        // positions
    int32_t *in, *next;
    struct best_two *best; // [n] or NULL
    double min_margin;
};

struct reference {
    const char *name;
    struct model *model;
    int n_lines;
    struct line line[LINES_MAX];
};

static inline double margin(const struct line *l, int pos)
{
    return l->best ? l->best[pos].logit[0] - l->best[pos].logit[1] : l->min_margin;
}

static inline bool read_line(const char *text, struct line *l)
{
    json_error_t je;
    json_t *j = json_loads(text, 0, &je), *detail, *ids;
    if (!CHECK(j != NULL))
        return false;
    ids = json_object_get(j, "next_ids");
    detail = json_object_get(j, "steps_detail[pos,in,top1,logit1,top2,logit2]");
    l->prompt = strdup(json_string_value(json_object_get(j, "prompt")));
    l->min_margin = json_number_value(json_object_get(j, "min_top1_top2_margin"));
    l->n = (int)json_array_size(ids);
    l->n_prompt = (int)json_array_size(json_object_get(j, "prompt_ids"));
    l->in = calloc((size_t)l->n, sizeof *l->in);
    l->next = calloc((size_t)l->n, sizeof *l->next);
    if (json_array_size(detail) == (size_t)l->n)
        l->best = calloc((size_t)l->n, sizeof *l->best);
    for (int i = 0; i < l->n; i++) {
        l->next[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
        l->in[i] =
            i ? l->next[i - 1]
              : (int32_t)json_integer_value(json_array_get(json_object_get(j, "prompt_ids"), 0));
        json_t *d = l->best ? json_array_get(detail, (size_t)i) : NULL;
        for (int b = 0; d && b < 2; b++) {
            l->best[i].top[b] = (int32_t)json_integer_value(json_array_get(d, (size_t)(2 + 2 * b)));
            l->best[i].logit[b] = json_number_value(json_array_get(d, (size_t)(3 + 2 * b)));
        }
        if (d)
            CHECK_INT(json_integer_value(json_array_get(d, 1)), l->in[i]);
    }
    json_decref(j);
    return true;
}

// NULL when a file of `../shared` is not there (the test is then skipped).
static inline struct reference *reference_open(const char *name, const char *gguf, const char *json)
{
    struct err e = {0};
    if (!gguf || !json) {
        test_skip("%s is not in the shared folder", name);
        return NULL;
    }
    struct reference *r = calloc(1, sizeof *r);
    FILE *f = fopen(json, "r");
    r->name = name;
    if (!CHECK(f != NULL) || !CHECK_OK(model_open_gguf(gguf, &r->model, &e), &e)) {
        if (f)
            fclose(f);
        free(r);
        return NULL;
    }
    char *text = NULL;
    size_t room = 0;
    while (getline(&text, &room, f) > 0 && r->n_lines < LINES_MAX)
        if (text[0] == '{' && read_line(text, &r->line[r->n_lines]))
            r->n_lines++;
    CHECK(r->n_lines > 0);
    free(text);
    fclose(f);
    return r;
}

static inline void reference_close(struct reference *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_lines; i++) {
        free(r->line[i].prompt);
        free(r->line[i].in);
        free(r->line[i].next);
        free(r->line[i].best);
    }
    model_close(r->model);
    free(r);
}

// The three models with references.
enum { N_REFERENCES = 3 };
static inline struct reference *reference_get(int i)
{
    if (i == 0)
        return reference_open("partita-stories", "data/partita-stories.gguf",
                              "data/partita-stories.greedy.json");
    if (i == 1)
        return reference_open("stories260K", test_shared("data/models/stories260K.gguf"),
                              test_shared("data/models/stories260K.greedy.json"));
    return reference_open("TinyStories-656K-f32",
                          test_shared("data/models/TinyStories-656K-f32.gguf"),
                          test_shared("data/models/TinyStories-656K.greedy.json"));
}

#endif
