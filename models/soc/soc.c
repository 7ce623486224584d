// SPDX-License-Identifier: GPL-3.0-or-later
// Assembly. One table says which groups a SoC's configuration has; reading, help, dump and digest
// all walk it. The machine owns the event kernel, the memory, the control plane and up to one
// device of each kind, and hands their costs to whoever holds the machine's interface.
//
// Invariant: time passes only inside machine_ops and device_ops, and only through struct control.
#include "models/soc/soc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "models/soc/cores.h"
#include "models/soc/cpu.h"
#include "models/soc/game.h"
#include "models/soc/gpu.h"
#include "models/soc/meter.h"
#include "models/soc/npu.h"
#include "models/soc/power.h"
#include "models/soc/replay.h"
#include "models/soc/thermal.h"

struct config {
    const char *name;
    int detail; // enum dram_detail
    bool replay;
    struct dram_params dram;
    struct control_params control;
    struct cores_params cores;
    struct power_params power;
    struct gpu_params gpu;
    struct npu_params npu;
    struct cpu_params cpu;
    struct queue_params gpu_queue, npu_queue, cpu_queue;
    struct clock_params gpu_clock, npu_clock, cpu_clock;
    struct game_params game;
    struct thermal_params thermal;
    const struct npu_model_ops *npu_model;
    void *npu_arch;
};

struct soc {
    struct machine m; // first
    struct arena arena;
    struct config cfg;
    struct sim *sim;
    struct dram dram;
    struct control control;
    struct cores cores; // in use while cfg.cores.count > 0
    struct game game;
    struct dram_port game_port;
    struct thermal thermal;
    struct sim_event governor; // pending only while the temperature is followed
    struct meter meter;        // in use while somebody traces
    struct replay replay;
    uint32_t buffers; // ids given out
};

static const struct conf_row root_rows[] = {
    {.name = "name", .type = CONF_STRING, .doc = "name of the SoC", .offset = 0},
    {.name = "detail",
     .type = CONF_ENUM,
     .fallback = "flow",
     .choices = "flow|cycle",
     .doc =
         "level of the models: closed forms that share bandwidth, or requests and tiles as events",
     .offset = offsetof(struct config, detail)},
    {.name = "replay",
     .type = CONF_BOOL,
     .fallback = "true",
     .doc = "simulate equal layers of a step once; the results are the same without",
     .offset = offsetof(struct config, replay)},
    {.name = "dram", .type = CONF_GROUP, .doc = "main memory"},
    {.name = "control", .type = CONF_GROUP, .doc = "the core that submits and waits"},
    {.name = "cores", .type = CONF_GROUP, .doc = "cores that several devices compute on"},
    {.name = "power", .type = CONF_GROUP, .doc = "power per component"},
    {.name = "thermal", .type = CONF_GROUP, .doc = "temperature and throttling"},
    {.name = "gpu", .type = CONF_GROUP, .doc = "GPU; without this group there is none"},
    {.name = "npu", .type = CONF_GROUP, .doc = "NPU; without this group there is none"},
    {.name = "cpu",
     .type = CONF_GROUP,
     .doc = "computing cores; without this group there are none"},
};

struct group {
    const char *path; // "" is the root
    const struct conf_row *rows;
    const size_t *n_rows;
    size_t offset;     // in struct config
    const char *needs; // read only if this group is there; NULL: always
};

static const size_t root_n_rows = sizeof root_rows / sizeof root_rows[0];
static const struct group groups[] = {
    {"", root_rows, &root_n_rows, offsetof(struct config, name), NULL},
    {"dram", dram_rows, &dram_n_rows, offsetof(struct config, dram), NULL},
    {"dram.timing", lpddr_rows, &lpddr_n_rows, offsetof(struct config, dram.timing), NULL},
    {"control", control_rows, &control_n_rows, offsetof(struct config, control), NULL},
    {"cores", cores_rows, &cores_n_rows, offsetof(struct config, cores), "cores"},
    {"power", power_rows, &power_n_rows, offsetof(struct config, power), NULL},
    {"thermal", thermal_rows, &thermal_n_rows, offsetof(struct config, thermal), NULL},
    {"gpu", gpu_rows, &gpu_n_rows, offsetof(struct config, gpu), "gpu"},
    {"gpu.queue", queue_rows, &queue_n_rows, offsetof(struct config, gpu_queue), "gpu"},
    {"gpu.clock", clock_rows, &clock_n_rows, offsetof(struct config, gpu_clock), "gpu"},
    {"gpu.game", game_rows, &game_n_rows, offsetof(struct config, game), "gpu"},
    {"npu", npu_rows, &npu_n_rows, offsetof(struct config, npu), "npu"},
    {"npu.queue", queue_rows, &queue_n_rows, offsetof(struct config, npu_queue), "npu"},
    {"npu.clock", clock_rows, &clock_n_rows, offsetof(struct config, npu_clock), "npu"},
    {"cpu", cpu_rows, &cpu_n_rows, offsetof(struct config, cpu), "cpu"},
    {"cpu.queue", queue_rows, &queue_n_rows, offsetof(struct config, cpu_queue), "cpu"},
    {"cpu.clock", clock_rows, &clock_n_rows, offsetof(struct config, cpu_clock), "cpu"},
};
enum { GROUPS = sizeof groups / sizeof groups[0] };
enum { NOTE_THROTTLE = 17 }; // kind in the digest, beyond devices and the game

static const struct conf_node *node(const struct conf *c, const char *path)
{
    return *path ? conf_child(conf_root(c), path) : conf_root(c);
}

static bool present(const struct conf *c, const struct group *g)
{
    return !g->needs || node(c, g->needs);
}

static int read_config(const struct conf *c, struct arena *a, struct config *out, struct err *e)
{
    for (int i = 0; i < GROUPS; i++) {
        const struct group *g = &groups[i];
        const char *name = *g->path ? g->path : "soc";
        if (present(c, g) && conf_read(node(c, g->path), name, g->rows, *g->n_rows,
                                       (char *)out + g->offset, a, e) < 0)
            return e->code;
    }
    if (power_check(&out->power, e) < 0 || clock_check(&out->gpu_clock, "gpu.clock", e) < 0 ||
        clock_check(&out->npu_clock, "npu.clock", e) < 0 ||
        clock_check(&out->cpu_clock, "cpu.clock", e) < 0 ||
        (out->cores.count && out->detail == DRAM_CYCLE &&
         err_at(e, ERR_CONFIG, NULL, 0, "cores",
                "shared cores are modelled at detail = \"flow\" only") < 0)) {
        err_locate(e, conf_path(c), 0);
        return e->code;
    }
    if (!node(c, "npu"))
        return 0;
    out->npu_model = npu_find(out->npu.model, e);
    if (!out->npu_model) {
        const char *file;
        int line;
        conf_where(node(c, "npu"), "model", &file, &line);
        err_locate(e, file, line);
        return e->code;
    }
    out->npu_arch = arena_alloc(a, out->npu_model->params_size);
    return conf_read(node(c, "npu.arch"), "npu.arch", out->npu_model->rows, out->npu_model->n_rows,
                     out->npu_arch, a, e);
}

static struct soc *soc_of(struct machine *m)
{
    return (struct soc *)m;
}

static struct agent *agent_at(const struct machine *m, int i)
{
    return (struct agent *)m->device[i];
}

static int64_t now(struct machine *m)
{
    return sim_now(soc_of(m)->sim);
}

static void sleep_for(struct machine *m, int64_t ps)
{
    control_sleep(&soc_of(m)->control, ps);
}

static void pause_once(struct machine *m)
{
    control_pause(&soc_of(m)->control);
}

static void place(struct machine *m, enum core_class core)
{
    control_place(&soc_of(m)->control, core);
}

static uint64_t flag(struct machine *m, int device)
{
    return agent_at(m, device)->completed;
}

static int alloc(struct machine *m, int64_t rows, int64_t pitch, struct buffer *out, struct err *e)
{
    struct soc *s = soc_of(m);
    if (rows < 1 || pitch < 1 || rows > INT64_MAX / pitch)
        return err_set(e, ERR_USAGE, "a buffer of %lld rows of %lld bytes", (long long)rows,
                       (long long)pitch);
    struct buffer b = {.size = rows * pitch, .pitch = pitch};
    if (m->values) {
        b.host = calloc((size_t)rows, (size_t)pitch);
        if (!b.host)
            return err_set(e, ERR_MEMORY, "no memory for a buffer of %lld bytes",
                           (long long)b.size);
    }
    b.id = s->buffers++;
    *out = b;
    return 0;
}

static void free_buffer(struct machine *m, struct buffer *b)
{
    (void)m;
    free(b->host);
    *b = (struct buffer){0};
}

// Everybody's work on a device.
static int64_t busy_of(const struct soc *s, int device)
{
    const struct agent *a = agent_at(&s->m, device);
    return agent_busy(a) + (s->game.gpu == a ? game_busy(&s->game) : 0);
}

static void energy(struct machine *m, struct energy *out)
{
    struct soc *s = soc_of(m);
    struct power_activity a = {
        .now = now(m),
        .bytes = dram_moved(&s->dram) - dram_cached(&s->dram),
        .n_devices = m->n_devices,
    };
    for (int i = 0; i < CORE_CLASSES; i++) {
        a.spent[i] = control_spent(&s->control, (enum core_class)i);
        a.asleep[i] = s->control.asleep[i];
    }
    for (int i = 0; i < m->n_devices; i++) {
        a.device[i].kind = m->device[i]->caps.kind;
        a.device[i].use = clock_used(&agent_at(m, i)->clock, a.now, busy_of(s, i));
    }
    power_energy(&s->cfg.power, &a, out);
    if (sim_pending(&s->governor)) {
        struct thermal t = s->thermal;
        thermal_advance(&t, a.now, out->total);
        out->temperature = t.peak;
        out->throttled = a.now ? (double)t.throttled / (double)a.now : 0;
    }
}

// The most operating points that any device has below its chosen one.
static int most_steps(const struct soc *s)
{
    int most = 0;
    for (int i = 0; i < s->m.n_devices; i++) {
        const struct clock_params *p = &agent_at(&s->m, i)->points;
        int left = clock_levels(p) - 1 - (int)p->level;
        most = left > most ? left : most;
    }
    return most;
}

static void on_governor(struct sim *sim, struct sim_event *ev)
{
    struct soc *s = SIM_OWNER(ev, struct soc, governor);
    const struct machine *m = &s->m;
    struct energy e;
    int64_t t = sim_now(sim);
    control_foreground(&s->control);
    energy(&s->m, &e);
    thermal_advance(&s->thermal, t, e.total);
    if (m->trace)
        meter_temperature(&s->meter, t, s->thermal.temperature);
    if (thermal_govern(&s->thermal, most_steps(s))) {
        for (int i = 0; i < s->m.n_devices; i++) {
            struct agent *a = agent_at(&s->m, i);
            clock_set(&a->clock, (int)a->points.level + s->thermal.steps, t, busy_of(s, i));
            if (m->trace) {
                bool game = s->game.gpu == a && s->game.executing;
                meter_clock(&s->meter, i, &a->clock, t);
                meter_device(&s->meter, i, &a->clock, t, a->executing || game);
            }
        }
        sim_note(sim, NOTE_THROTTLE, (uint64_t)s->thermal.steps);
    }
    control_background(&s->control, ev, t + s->cfg.thermal.period);
}

// What goes on besides the engine, from time 0 on.
static void start_others(struct soc *s)
{
    struct machine_desc d;
    machine_describe(&s->m, &d);
    s->game = (struct game){.p = s->cfg.game};
    thermal_init(&s->thermal, &s->cfg.thermal);
    sim_event_init(&s->governor, on_governor);
    if (s->m.quiet)
        return;
    if (d.gpu >= 0)
        game_start(&s->game, &s->cfg.game, agent_at(&s->m, d.gpu), &s->game_port);
    if (s->cfg.thermal.enabled)
        control_background(&s->control, &s->governor, s->cfg.thermal.period);
}

static void frames(struct machine *m, struct frames *out)
{
    const struct game *g = &soc_of(m)->game;
    *out = (struct frames){0};
    if (g->stats.rate > 0)
        game_frames(g, out);
}

// The gauges begin with the readings of a machine at rest.
static void start_trace(struct soc *s)
{
    int64_t t = now(&s->m);
    struct meter *meter = &s->meter;
    meter_open(meter, &s->m, &s->cfg.power, s->game.stats.rate > 0, sim_pending(&s->governor), t);
    s->control.meter = meter;
    dram_meter(&s->dram, meter);
    meter_control(meter, s->control.core, t, false);
    meter_temperature(meter, t, s->thermal.temperature);
}

static void trace(struct machine *m, const struct trace_sink *sink)
{
    struct soc *s = soc_of(m);
    if (m->trace)
        meter_close(&s->meter, m->n_devices, now(m));
    s->control.meter = NULL;
    dram_meter(&s->dram, NULL);
    machine_set_trace(m, sink);
    if (sink)
        start_trace(s);
    machine_trace_queues(m);
    for (int i = 0; i < m->n_devices; i++)
        agent_trace(agent_at(m, i));
}

static uint64_t digest(struct machine *m)
{
    return sim_digest(soc_of(m)->sim);
}

// Devices of some threads compute on common cores, and so does the control plane.
static void share_cores(struct soc *s)
{
    const struct cores_params *p = &s->cfg.cores;
    if (!p->count)
        return;
    cores_reset(&s->cores, p, &s->dram);
    s->control.cores = &s->cores;
    for (int i = 0; i < s->m.n_devices; i++) {
        struct agent *a = agent_at(&s->m, i);
        const enum device_kind kind = a->base.caps.kind;
        a->threads = kind == DEVICE_CPU ? p->cpu : kind == DEVICE_GPU ? p->gpu : p->npu;
        a->cores = a->threads ? &s->cores : NULL;
        if (a->cores)
            cores_join(&s->cores, &a->port);
    }
}

static void reset(struct machine *m)
{
    struct soc *s = soc_of(m);
    sim_reset(s->sim);
    dram_reset(&s->dram);
    replay_reset(&s->replay);
    control_init(&s->control, &s->cfg.control, s->sim);
    s->control.meter = s->dram.meter;
    for (int i = 0; i < m->n_devices; i++) {
        agent_reset(agent_at(m, i));
        m->device[i]->ops->reset(m->device[i]); // what a device has besides
    }
    share_cores(s);
    start_others(s);
}

static void close_soc(struct machine *m)
{
    struct soc *s = soc_of(m);
    for (int i = 0; i < m->n_devices; i++)
        m->device[i]->ops->close(m->device[i]);
    replay_fini(&s->replay);
    dram_port_close(&s->game_port);
    dram_close(&s->dram);
    sim_destroy(s->sim);
    arena_fini(&s->arena);
    free(s);
}

static int section(struct machine *m, int index, int left, const void *state, size_t size,
                   int *period)
{
    return replay_section(&soc_of(m)->replay, index, left, state, size, period);
}

static uint32_t number(struct machine *m, const void *bytes, size_t size)
{
    return replay_number(&soc_of(m)->replay, bytes, size);
}

static bool recall(struct machine *m, const void *state, size_t size, void *result, size_t n)
{
    return replay_recall(&soc_of(m)->replay, state, size, result, n);
}

static void learn(struct machine *m, const void *result, size_t n)
{
    replay_learn(&soc_of(m)->replay, result, n);
}

static const struct machine_replay replay = {
    .section = section, .number = number, .recall = recall, .learn = learn};

static const struct machine_ops ops = {
    .name = "soc",
    .doc = "models of GPU, NPU, CPU and DRAM under a virtual clock",
    .now = now,
    .sleep = sleep_for,
    .pause = pause_once,
    .place = place,
    .flag = flag,
    .alloc = alloc,
    .free = free_buffer,
    .energy = energy,
    .frames = frames,
    .digest = digest,
    .trace = trace,
    .replay = &replay,
    .reset = reset,
    .close = close_soc,
};

// "soc:sd8gen3" for configs/soc/sd8gen3.cfg.
static const char *spec(struct soc *s, const struct conf *c)
{
    const char *path = conf_path(c), *base = path ? strrchr(path, '/') : NULL;
    base = base ? base + 1 : path ? path : "-";
    const char *dot = strrchr(base, '.');
    int n = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
    return arena_printf(&s->arena, "soc:%.*s", n, base);
}

static int add_devices(struct soc *s, const struct conf *c, struct err *e)
{
    const struct config *g = &s->cfg;
    struct machine *m = &s->m;
    struct device **d = m->device;
    if (node(c, "cpu")) {
        if (cpu_open(&g->cpu, &g->cpu_queue, m, m->n_devices, &s->control, &s->dram,
                     &d[m->n_devices], e) < 0)
            return e->code;
        agent_clock(agent_at(m, m->n_devices++), &g->cpu_clock);
    }
    if (node(c, "gpu")) {
        if (gpu_open(&g->gpu, &g->gpu_queue, m, m->n_devices, &s->control, &s->dram,
                     &d[m->n_devices], e) < 0)
            return e->code;
        agent_clock(agent_at(m, m->n_devices++), &g->gpu_clock);
        if (dram_port_open(&s->dram, &s->game_port, GAME_CLIENT, g->gpu_queue.outstanding,
                           g->gpu_queue.link, e) < 0)
            return e->code;
    }
    if (node(c, "npu")) {
        if (npu_open(&g->npu, g->npu_model, g->npu_arch, &g->npu_queue, m, m->n_devices,
                     &s->control, &s->dram, &d[m->n_devices], e) < 0)
            return e->code;
        agent_clock(agent_at(m, m->n_devices++), &g->npu_clock);
    }
    if (!m->n_devices)
        return err_at(e, ERR_CONFIG, conf_path(c), 0, NULL,
                      "a SoC needs at least one of the groups cpu, gpu, npu");
    return 0;
}

int machine_soc_open(const struct conf *c, bool values, struct machine **out, struct err *e)
{
    struct err local = {0};
    e = e ? e : &local;
    struct soc *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, "no memory for a simulated machine");
    arena_init(&s->arena);
    if (read_config(c, &s->arena, &s->cfg, e) < 0) {
        arena_fini(&s->arena);
        free(s);
        return e->code;
    }
    s->m = (struct machine){
        .ops = &ops,
        .name = spec(s, c),
        .repeatable = true,
        .values = values,
        .detailed = s->cfg.detail == DRAM_CYCLE,
        .memory = s->cfg.dram.size,
    };
    s->sim = sim_create();
    control_init(&s->control, &s->cfg.control, s->sim);
    if (dram_open(&s->dram, &s->cfg.dram, (enum dram_detail)s->cfg.detail, s->sim, e) < 0 ||
        add_devices(s, c, e) < 0) {
        if (!e->file[0])
            err_locate(e, conf_path(c), 0);
        close_soc(&s->m);
        return e->code;
    }
    replay_init(&s->replay, &s->m, &s->control, &s->dram, s->cfg.replay);
    for (int i = 0; i < s->m.n_devices; i++)
        agent_at(&s->m, i)->replay = &s->replay;
    share_cores(s);
    start_others(s);
    *out = &s->m;
    return 0;
}

bool machine_soc_cycle(const struct machine *m)
{
    return ((const struct soc *)m)->dram.detail == DRAM_CYCLE;
}

void machine_soc_help(FILE *f)
{
    for (int i = 0; i < GROUPS; i++) {
        fprintf(f, "%s:\n", *groups[i].path ? groups[i].path : "soc");
        conf_help(f, groups[i].rows, *groups[i].n_rows, 2);
    }
    for (size_t i = 0; i < npu_registry_count; i++) {
        fprintf(f, "npu.arch with npu.model = \"%s\" (%s):\n", npu_registry[i]->name,
                npu_registry[i]->doc);
        conf_help(f, npu_registry[i]->rows, npu_registry[i]->n_rows, 2);
    }
}

// The values of a group, then the groups below it.
static void dump_group(FILE *f, const struct conf *c, const struct config *cfg,
                       const struct group *g, int indent)
{
    size_t n = strlen(g->path);
    conf_dump(f, node(c, g->path), g->rows, *g->n_rows, (const char *)cfg + g->offset, indent);
    for (int i = 0; i < GROUPS; i++) {
        const struct group *h = &groups[i];
        const char *name = n ? h->path + n + 1 : h->path;
        bool below = !n || (!strncmp(h->path, g->path, n) && h->path[n] == '.');
        if (h == g || !below || strchr(name, '.') || !present(c, h))
            continue;
        fprintf(f, "%*s%s = {\n", indent, "", name);
        dump_group(f, c, cfg, h, indent + 4);
        if (!strcmp(h->path, "npu")) {
            fprintf(f, "%*sarch = {\n", indent + 4, "");
            conf_dump(f, node(c, "npu.arch"), cfg->npu_model->rows, cfg->npu_model->n_rows,
                      cfg->npu_arch, indent + 8);
            fprintf(f, "%*s};\n", indent + 4, "");
        }
        fprintf(f, "%*s};\n", indent, "");
    }
}

int machine_soc_dump(FILE *f, const struct conf *c, struct err *e)
{
    struct err local = {0};
    struct arena a;
    struct config cfg = {0};
    e = e ? e : &local;
    arena_init(&a);
    int rc = read_config(c, &a, &cfg, e);
    if (rc == 0)
        dump_group(f, c, &cfg, &groups[0], 0);
    arena_fini(&a);
    return rc;
}

int machine_soc_config_digest(const struct conf *c, uint64_t *out, struct err *e)
{
    struct err local = {0};
    struct arena a;
    struct config cfg = {0};
    uint64_t d = DIGEST_INIT;
    e = e ? e : &local;
    arena_init(&a);
    int rc = read_config(c, &a, &cfg, e);
    for (int i = 0; rc == 0 && i < GROUPS; i++) {
        if (!present(c, &groups[i]))
            continue;
        d = digest_str(d, groups[i].path);
        d = conf_digest(d, groups[i].rows, *groups[i].n_rows,
                        (const char *)&cfg + groups[i].offset);
    }
    if (rc == 0 && cfg.npu_model)
        d = conf_digest(d, cfg.npu_model->rows, cfg.npu_model->n_rows, cfg.npu_arch);
    arena_fini(&a);
    if (rc == 0)
        *out = d;
    return rc;
}

static const struct conf_row *find_row(const struct conf_row *rows, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

const struct conf_row *machine_soc_row(const struct conf *c, const char *key)
{
    const char *dot = strrchr(key, '.'), *name = dot ? dot + 1 : key;
    size_t n = dot ? (size_t)(dot - key) : 0;
    for (int i = 0; i < GROUPS; i++)
        if (strlen(groups[i].path) == n && !strncmp(groups[i].path, key, n))
            return present(c, &groups[i]) ? find_row(groups[i].rows, *groups[i].n_rows, name)
                                          : NULL;
    char model[64];
    if (n != strlen("npu.arch") || strncmp(key, "npu.arch", n) != 0 || !node(c, "npu") ||
        !conf_text(node(c, "npu"), "model", -1, model, sizeof model))
        return NULL;
    const struct npu_model_ops *npu = npu_find(model, NULL);
    return npu ? find_row(npu->rows, npu->n_rows, name) : NULL;
}

void machine_soc_peaks(const struct machine *m, struct soc_peaks *out)
{
    const struct config *g = &((const struct soc *)m)->cfg;
    *out = (struct soc_peaks){
        .dram = dram_peak(&g->dram),
        .dram_achievable = dram_achievable(&g->dram),
        .gpu_flops = g->gpu.peak,
    };
    if (g->npu_model) {
        struct npu_peak p;
        g->npu_model->peak(g->npu_arch, &p);
        out->npu_flops = p.flops;
        out->npu_ops = p.ops;
    }
}

double machine_soc_dram_bytes(const struct machine *m)
{
    return dram_moved(&((const struct soc *)m)->dram);
}

double machine_soc_cached(const struct machine *m)
{
    return dram_cached(&((const struct soc *)m)->dram);
}

uint64_t machine_soc_events(const struct machine *m)
{
    return sim_fired(((const struct soc *)m)->sim);
}

uint64_t machine_soc_replayed(const struct machine *m)
{
    return ((const struct soc *)m)->replay.sections;
}

uint64_t machine_soc_recalled(const struct machine *m)
{
    return ((const struct soc *)m)->replay.recalled;
}
