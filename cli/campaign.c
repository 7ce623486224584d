// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a campaign with what the command line gives: configuration files, a simulated or real
// machine, a terminal that wants to see progress, and Ctrl-C.
#include "cli/explore.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/conf_edit.h"
#include "base/num.h"
#include "explore/evaluate.h"
#include "explore/identity.h"
#include "explore/store.h"
#include "explore/table.h"

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

// "3 min", "47 s"
static const char *time_text(double s, char buf[32])
{
    if (s >= 5400)
        snprintf(buf, 32, "%.1f h", s / 3600);
    else if (s >= 90)
        snprintf(buf, 32, "%.0f min", s / 60);
    else
        snprintf(buf, 32, "%.0f s", s);
    return buf;
}

static void show(void *user, const struct campaign_progress *p)
{
    struct shown *s = user;
    char text[32];
    if (p->seconds - s->last < 0.1 && p->done < p->total)
        return;
    s->last = p->seconds;
    fprintf(stderr, "\r\033[K%lld of %lld points", (long long)p->done, (long long)p->total);
    if (p->cached)
        fprintf(stderr, " (%lld from the store)", (long long)p->cached);
    if (!isnan(p->rate))
        fprintf(stderr, ", %.0f/s, %s left", p->rate, time_text(p->eta_s, text));
    if (p->crashed + p->hung)
        fprintf(stderr, ", %lld crashed or hung", (long long)(p->crashed + p->hung));
    if (!isnan(p->hypervolume))
        fprintf(stderr, ", hypervolume %.3f", p->hypervolume);
    if (p->best) {
        enum metric m = s->space->objective[0];
        fprintf(stderr, "; best %s %.4g %s (%.60s)", metric_rows[m].title, p->best->m.value[m],
                metric_rows[m].unit, p->best->label);
    }
    fflush(stderr);
}

// --- running

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

// The space as its file has it, but on another machine. The text is what the store keeps.
static int open_space(const struct cli_campaign_options *o, struct cli_campaign *x, struct err *e)
{
    char path[512], soc[512], value[560];
    struct conf_edit *edit = NULL;
    if (o->text)
        return space_open_text(o->space, o->text, &x->space, e);
    if (cli_find_config("space", o->space, path, sizeof path, e) < 0)
        return e->code;
    if (!o->soc)
        return space_open(path, &x->space, e);
    if (cli_find_config("soc", o->soc, soc, sizeof soc, e) < 0 ||
        conf_edit_open(path, &edit, e) < 0)
        return e->code;
    snprintf(value, sizeof value, "\"soc:%s\"", o->soc);
    int rc = conf_edit_has(edit, "machine")
                 ? conf_edit_set(edit, "machine", value, NULL, e)
                 : err_at(e, ERR_USAGE, path, 0, "machine",
                          "--soc takes the place of one machine, and this space names none");
    if (rc == 0) {
        x->text = arena_strdup(&x->arena, conf_edit_text(edit));
        rc = space_open_text(path, x->text, &x->space, e);
    }
    conf_edit_close(edit);
    return rc;
}

static int prepare(const struct cli_campaign_options *o, struct cli_campaign *x, struct err *e)
{
    if (open_space(o, x, e) < 0 || open_factories(x, o->common, e) < 0)
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

// "ttft_ms<=500", "decode_tok_s>=12": a bound on an objective, in its unit.
static int read_target(const struct space *s, const char *text, struct stop_rules *r, struct err *e)
{
    char name[64];
    const char *names[SEARCH_MAX_OBJECTIVES], *op = strpbrk(text, "<>");
    size_t n = op ? (size_t)(op - text) : 0;
    while (n && text[n - 1] == ' ')
        n--;
    const char *value = op && op[1] == '=' ? op + 2 + strspn(op + 2, " ") : "";
    if (!n || n >= sizeof name || !*value || num_span(value) != strlen(value))
        return err_set(e, ERR_USAGE, "--target wants METRIC<=VALUE, such as %s<=100, found \"%s\"",
                       metric_rows[s->objective[0]].name, text);
    snprintf(name, sizeof name, "%.*s", (int)n, text);
    for (int i = 0; i < s->n_objectives; i++) {
        enum metric m = s->objective[i];
        names[i] = metric_rows[m].name;
        if (strcmp(names[i], name))
            continue;
        if (metric_rows[m].rate != (*op == '>'))
            return err_set(e, ERR_USAGE, "--target %s: %s is better, write %s%s%s", text,
                           metric_rows[m].rate ? "more" : "less", name,
                           metric_rows[m].rate ? ">=" : "<=", value);
        r->target[r->n_targets].objective = i;
        r->target[r->n_targets++].value = metric_objective(m, num_parse(value));
        return 0;
    }
    const char *near = err_nearest(name, names, (size_t)s->n_objectives);
    return err_set(e, ERR_USAGE, "--target: \"%s\" is no objective of the space%s%s%s", name,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

// A file as text, in the arena; NULL when it cannot be read.
static const char *file_text(const char *path, struct arena *a)
{
    FILE *f = fopen(path, "r");
    long size = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    char *text = NULL;
    if (size >= 0 && fseek(f, 0, SEEK_SET) == 0) {
        text = arena_alloc(a, (size_t)size + 1);
        text[fread(text, 1, (size_t)size, f)] = 0;
    }
    if (f)
        fclose(f);
    return text;
}

// Rows of the level that counts.
static void make_rows(struct cli_campaign *x)
{
    const struct campaign *c = &x->c;
    const char *last = x->space->level[x->space->n_levels - 1];
    x->row = malloc(((size_t)c->count + 1) * sizeof *x->row);
    if (!x->row)
        abort();
    for (int64_t i = 0; i < c->count; i++)
        if (!strcmp(c->row[i].level, last))
            x->row[x->n_rows++] = c->row[i];
}

static int write_csv(const struct cli_campaign *x, const char *path, struct err *e)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
    int rc = table_write(f, x->space, x->c.row, x->c.count, e);
    if (fclose(f) != 0 && rc >= 0)
        rc = err_set(e, ERR_IO, "cannot write: %s", strerror(errno));
    if (rc < 0)
        err_locate(e, path, 0);
    return rc;
}

// Whether the table can be written, before an hour of work.
static int try_csv(const char *path, struct err *e)
{
    bool there = access(path, F_OK) == 0;
    FILE *f = fopen(path, "a");
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
    fclose(f);
    if (!there)
        unlink(path);
    return 0;
}

// What the store keeps of the campaign, and how points are recognised.
static int open_store(const struct cli_campaign_options *o, struct cli_campaign *x,
                      const struct evaluate_context *c, struct campaign_request *q, struct err *e)
{
    if (!o->out && !o->run)
        return 0;
    if (o->out && store_open(o->out, STORE_WRITE, &q->store, e) < 0)
        return e->code;
    q->identity = identity_create(c);
    q->text = o->text ? o->text : x->text ? x->text : file_text(x->space->path, &x->arena);
    q->model = x->model->shape.name;
    q->settings = cli_settings(o->common, &x->arena);
    q->retry = o->retry;
    return 0;
}

static int explore(const struct cli_campaign_options *o, struct cli_campaign *x,
                   struct campaign_request q, struct err *e)
{
    struct shown shown = {.space = x->space};
    const struct evaluate_context c = context(x, o->common);
    q.space = x->space;
    q.context = &c;
    for (int i = 0; i < o->n_targets; i++)
        if (read_target(x->space, o->target[i], &q.rules, e) < 0)
            return e->code;
    q.jobs = q.jobs ? q.jobs : (int)sysconf(_SC_NPROCESSORS_ONLN);
    q.jobs = q.jobs > CAMPAIGN_MAX_JOBS ? CAMPAIGN_MAX_JOBS : q.jobs;
    if (!x->factory.soc || x->hardware_model)
        q.jobs = 1; // measurements beside each other would disturb each other
    bool visible = cli_show_progress(o->common);
    if (visible) {
        q.progress = show;
        q.user = &shown;
    }
    if ((o->csv && try_csv(o->csv, e) < 0) || open_store(o, x, &c, &q, e) < 0)
        return e->code;
    cli_catch_stop();
    int rc = o->run ? o->run(o->user, &q, &x->c, e) : campaign_run(&q, &x->c, e);
    if (visible)
        fprintf(stderr, "\r\033[K");
    struct err late = {0};
    if (q.store && store_close(q.store, rc < 0 ? &late : e) < 0 && rc >= 0)
        rc = e->code;
    identity_destroy(q.identity);
    if (rc >= 0 && o->csv)
        rc = write_csv(x, o->csv, e);
    return rc;
}

int cli_campaign_run(const struct cli_campaign_options *o, struct cli_campaign *out, struct err *e)
{
    struct cli_campaign *x = out;
    struct campaign_request q = {.seed = o->common->seed,
                                 .rules = o->rules,
                                 .jobs = o->jobs,
                                 .timeout_s = o->timeout_s,
                                 .window = o->window,
                                 .worker = &evaluate_worker,
                                 .stop = &cli_stop};
    *x = (struct cli_campaign){0};
    arena_init(&x->arena);
    if (search_parse(o->search, &x->arena, &q.search, &q.search_options, e) < 0 ||
        prepare(o, x, e) < 0 || explore(o, x, q, e) < 0) {
        cli_campaign_close(x);
        return e->code;
    }
    make_rows(x);
    return 0;
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
    free(x->row);
    arena_fini(&x->arena);
    *x = (struct cli_campaign){0};
}
