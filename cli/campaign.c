// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a campaign with what the command line gives: configuration files, a simulated or real
// machine, a terminal that wants to see progress, and Ctrl-C.
#include "cli/explore.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "explore/evaluate.h"

volatile sig_atomic_t cli_stop;

static void on_stop(int number)
{
    (void)number;
    cli_stop = 1;
}

void cli_catch_stop(void)
{
    // SA_RESETHAND: who presses Ctrl-C twice means it. No SA_RESTART: a wait must notice.
    struct sigaction a = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

bool cli_show_progress(const struct common *c)
{
    return !c->quiet && isatty(STDERR_FILENO);
}

// --- progress

struct shown {
    double last; // seconds
    const struct space *space;
};

static void show(void *user, const struct campaign_progress *p)
{
    struct shown *s = user;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    double now = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    if (now - s->last < 0.1 && p->done < p->total)
        return;
    s->last = now;
    fprintf(stderr, "\r\033[K%lld of %lld points", (long long)p->done, (long long)p->total);
    if (!isnan(p->rate))
        fprintf(stderr, ", %.0f/s, %.0f s left", p->rate, p->eta_s);
    if (p->crashed)
        fprintf(stderr, ", %lld crashed", (long long)p->crashed);
    if (p->best) {
        enum metric m = s->space->objective[0];
        fprintf(stderr, "; best %s %.4g %s (%.60s)", metric_rows[m].title, p->best->m.value[m],
                metric_rows[m].unit, p->best->label);
    }
    fflush(stderr);
}

// --- running

static FILE *open_csv(const char *path, struct err *e)
{
    FILE *f = fopen(path, "w");
    if (!f)
        err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
    return f;
}

// A real machine computes: it needs weights and tokens, any will do.
static int give_values(struct cli_campaign *x, struct model *m, const struct common *c,
                       struct err *e)
{
    if (!m->has_data && cli_generate_weights(m, "Q4_0", c->seed, e) < 0)
        return e->code;
    x->prompt = calloc((size_t)x->space->n_prompt, sizeof *x->prompt);
    for (int i = 0; x->prompt && i < x->space->n_prompt; i++)
        x->prompt[i] = i % m->shape.n_vocab;
    return 0;
}

static int open_factories(struct cli_campaign *x, const struct common *c, struct err *e)
{
    const struct space *s = x->space;
    for (int i = 0; i < s->n_machines; i++) {
        struct cli_factory *f = i ? &x->others[i - 1] : &x->factory;
        if (cli_factory_open(s->machines[i], c, false, f, e) < 0) {
            space_locate(s, "machine", e);
            return e->code;
        }
        x->factories[i] = &f->base;
    }
    return 0;
}

// Level "hardware": the host, and a copy of the model with weights.
static int open_hardware(struct cli_campaign *x, const char *model, const struct common *c,
                         struct err *e)
{
    struct common plain = *c;
    plain.n_set = 0; // keys of the SoC
    plain.engine = NULL;
    if (cli_factory_open("host", &plain, true, &x->hardware, e) < 0 ||
        cli_model_open(model, &x->hardware_model, e) < 0)
        return e->code;
    return 0;
}

static struct evaluate_context context(const struct cli_campaign *x, const struct common *c)
{
    return (struct evaluate_context){.space = x->space,
                                     .factories = x->factories,
                                     .factory = &x->factory.base,
                                     .hardware = x->hardware_model ? &x->hardware.base : NULL,
                                     .hardware_memory =
                                         sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE),
                                     .model = x->model,
                                     .hardware_model = x->hardware_model,
                                     .prompt = x->prompt,
                                     .seed = c->seed};
}

static int prepare(const struct cli_campaign_options *o, struct cli_campaign *x, struct err *e)
{
    char path[512];
    if (cli_find_config("space", o->space, path, sizeof path, e) < 0 ||
        space_open(path, &x->space, e) < 0 || open_factories(x, o->common, e) < 0)
        return e->code;
    const char *model = o->model ? o->model : x->space->model;
    if (cli_model_open(model, &x->model, e) < 0) {
        if (!o->model)
            space_locate(x->space, "model", e);
        return e->code;
    }
    struct machine *m; // a wrong --set should fail once, not at every point
    for (int i = 0; i < x->space->n_machines && x->factory.soc; i++) {
        if (cli_machine_open(i ? &x->others[i - 1] : &x->factory, &m, e) < 0)
            return e->code;
        m->ops->close(m);
    }
    if (x->factory.soc && x->space->kind[x->space->n_levels - 1] == LEVEL_HARDWARE &&
        open_hardware(x, model, o->common, e) < 0)
        return e->code;
    struct model *real = x->factory.soc ? x->hardware_model : x->model; // NULL: all simulated
    const struct evaluate_context before = context(x, o->common);
    if (real && (evaluate_check_memory(&before, e) < 0 || give_values(x, real, o->common, e) < 0))
        return e->code;
    const struct evaluate_context c = context(x, o->common);
    return evaluate_check(&c, e);
}

int cli_campaign_run(const struct cli_campaign_options *o, struct cli_campaign *out, struct err *e)
{
    struct cli_campaign *x = out;
    struct shown shown = {0};
    struct campaign_request q = {.seed = o->common->seed,
                                 .budget = o->budget,
                                 .jobs = o->jobs,
                                 .worker = &evaluate_worker,
                                 .stop = &cli_stop};
    *x = (struct cli_campaign){0};
    arena_init(&x->arena);
    if (search_parse(o->search, &x->arena, &q.search, &q.search_options, e) < 0 ||
        prepare(o, x, e) < 0 || (o->out && !(q.csv = open_csv(o->out, e))))
        goto close;
    const struct evaluate_context c = context(x, o->common);
    q.space = shown.space = x->space;
    q.context = &c;
    if (!q.jobs)
        q.jobs = (int)sysconf(_SC_NPROCESSORS_ONLN);
    q.jobs = q.jobs > CAMPAIGN_MAX_JOBS ? CAMPAIGN_MAX_JOBS : q.jobs;
    if (!x->factory.soc || x->hardware_model)
        q.jobs = 1; // measurements beside each other would disturb each other
    bool visible = cli_show_progress(o->common);
    if (visible) {
        q.progress = show;
        q.user = &shown;
    }
    cli_catch_stop();
    int rc = campaign_run(&q, &x->c, e);
    if (visible)
        fprintf(stderr, "\r\033[K");
    if (q.csv && fclose(q.csv) != 0 && rc >= 0) {
        campaign_fini(&x->c);
        rc = err_at(e, ERR_IO, o->out, 0, NULL, "cannot write: %s", strerror(errno));
    }
    if (rc >= 0)
        return 0;
close:
    cli_campaign_close(x);
    return e->code;
}

void cli_campaign_close(struct cli_campaign *x)
{
    if (x->c.space)
        campaign_fini(&x->c);
    space_close(x->space);
    if (x->model)
        model_close(x->model);
    if (x->hardware_model)
        model_close(x->hardware_model);
    free(x->prompt);
    arena_fini(&x->arena);
    *x = (struct cli_campaign){0};
}
