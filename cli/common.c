// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "base/trace_file.h"
#include "engine/host/host.h"
#include "models/soc/soc.h"

int cli_fail(const struct err *e)
{
    char text[700];
    fprintf(stderr, "partita: %s\n", err_text(e, text, sizeof text));
    switch (e->code) {
    case ERR_CHECK:
        return EXIT_CHECK;
    case ERR_FORMAT:
        return EXIT_DATA;
    case ERR_DEVICE:
    case ERR_UNSUPPORTED:
        return EXIT_DEVICE;
    case ERR_IO:
    case ERR_MEMORY:
        return EXIT_SYSTEM;
    default:
        return EXIT_USAGE;
    }
}

int cli_error(enum exit_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "partita: ");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return (int)code;
}

enum { MAX_OPTIONS = 64 };

static size_t option_names(const struct argp *a, const char **names, size_t n)
{
    for (const struct argp_option *o = a->options; o && (o->name || o->key || o->doc); o++)
        if (o->name && n < MAX_OPTIONS)
            names[n++] = o->name;
    for (const struct argp_child *c = a->children; c && c->argp; c++)
        n = option_names(c->argp, names, n);
    return n;
}

void cli_parse(const struct argp *a, int argc, char **argv, void *input)
{
    static char name[80];
    const char *names[MAX_OPTIONS + 2];
    size_t n = option_names(a, names, 0);
    names[n++] = "help";
    names[n++] = "usage";
    snprintf(name, sizeof name, "partita %s", argv[0]);
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (strncmp(argv[i], "--", 2))
            continue;
        char word[64];
        bool known = false;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(argv[i] + 2, "="), argv[i] + 2);
        for (size_t j = 0; j < n; j++)
            known |= !strncmp(names[j], word, strlen(word)); // argp takes abbreviations
        const char *near = known ? NULL : err_nearest(word, names, n);
        if (near)
            exit(cli_error(EXIT_USAGE, "%s: unknown option --%s, did you mean --%s?", argv[0], word,
                           near));
    }
    argv[0] = name;
#ifdef __GLIBC__
    program_invocation_short_name = name; // --usage and --help say it
#endif
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(a, argc, argv, 0, NULL, input);
}

// --- configuration files

static bool try_dir(const char *dir, const char *folder, const char *name, char *buf, size_t size)
{
    snprintf(buf, size, "%s/configs/%s/%s.cfg", dir, folder, name);
    return access(buf, R_OK) == 0;
}

// Where configs/ may be: the working directory, two levels above the program (a build folder), the
// installed place.
static int config_roots(char roots[3][400])
{
    int n = 0;
    char exe[400];
    snprintf(roots[n++], 400, ".");
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    for (int up = 0; len > 0 && up < 3; up++) { // drop the program's name and two folders
        exe[len] = 0;
        char *slash = strrchr(exe, '/');
        if (!slash)
            break;
        *slash = 0;
        len = slash - exe;
        if (up == 2)
            snprintf(roots[n++], 400, "%s", exe);
    }
    snprintf(roots[n++], 400, "/usr/share/partita");
    return n;
}

int cli_list_configs(const char *folder, char (*names)[64], int max)
{
    char roots[3][400], path[1300];
    int n_roots = config_roots(roots), n = 0;
    for (int r = 0; r < n_roots && n == 0; r++) {
        snprintf(path, sizeof path, "%s/configs/%s", roots[r], folder);
        DIR *d = opendir(path);
        for (struct dirent *f; d && n < max && (f = readdir(d));) {
            size_t len = strlen(f->d_name);
            if (len > 4 && len < 64 && !strcmp(f->d_name + len - 4, ".cfg"))
                snprintf(names[n++], 64, "%.*s", (int)len - 4, f->d_name);
        }
        if (d)
            closedir(d);
    }
    qsort(names, (size_t)n, sizeof *names, (int (*)(const void *, const void *))strcmp);
    return n;
}

int cli_find_config(const char *folder, const char *name, char *buf, size_t size, struct err *e)
{
    char roots[3][400];
    if (access(name, R_OK) == 0) {
        snprintf(buf, size, "%s", name);
        return 0;
    }
    int n = config_roots(roots);
    for (int i = 0; i < n; i++)
        if (try_dir(roots[i], folder, name, buf, size))
            return 0;
    static char all[128][64];
    const char *names[128];
    int count = cli_list_configs(folder, all, 128);
    for (int i = 0; i < count; i++)
        names[i] = all[i];
    const char *near = err_nearest(name, names, (size_t)count);
    if (strchr(name, '/') || strchr(name, '.'))
        return err_at(e, ERR_IO, name, 0, NULL, "%s", strerror(ENOENT));
    return err_set(e, ERR_USAGE, "no %s named \"%s\"%s%s%s; see `partita list %ss`", folder, name,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "", folder);
}

// --- common options

static const struct argp_option common_options[] = {
    {"machine", 'm', "MACHINE", 0, "host, or soc:NAME for a simulated SoC (see partita list socs)",
     1},
    {"engine", 'E', "ENGINE", 0,
     "use the machine as another inference engine does (see partita list engines). The profile "
     "gives policy, sync and SoC values, and --policy, --sync and --set win over those; its kernel "
     "factors then scale what the SoC has, --set included",
     1},
    {"policy", 'P', "POLICY", 0,
     "partition policy, NAME or NAME:option=value,... (see partita list policies --options; "
     "default hetero_tensor)",
     1},
    {"sync", 'S', "SYNC", 0,
     "synchronisation scheme, NAME or NAME:option=value,... (see partita list syncs --options; "
     "default sleep_poll)",
     1},
    {"plan-sync", 1002, "SYNC", 0,
     "let the policy plan with the costs of this scheme (default: those of --sync); with the same "
     "plan under both, only the scheme differs",
     1},
    {"set", 's', "KEY=VALUE", 0,
     "override a key of the machine's configuration, as in "
     "--set npu.arch.arrays=4 (see partita show-config)",
     1},
    {"seed", 1001, "SEED", 0, "seed of everything random (default 0)", 1},
    {"json", 'j', 0, 0, "print the result as JSON", 1},
    {"quiet", 'q', 0, 0, "no progress, no diagnostics", 1},
    {"verbose", 'v', 0, 0, "more diagnostics on standard error", 1},
    {0},
};

static const char default_policy[] = "hetero_tensor", default_sync[] = "sleep_poll";

// Policy and sync of the profile, unless the command line has its own.
static void use_engine(struct common *c)
{
    char path[512];
    struct err e;
    if (cli_find_config("engine", c->engine, path, sizeof path, &e) < 0 ||
        engine_open(path, &c->profile, &e) < 0)
        exit(cli_fail(&e));
    if (!c->policy || c->policy == default_policy)
        c->policy = c->profile.policy;
    if (!c->sync || c->sync == default_sync)
        c->sync = c->profile.sync;
}

void cli_set(struct argp_state *state, struct common *c, const char *arg)
{
    if (!strchr(arg, '='))
        argp_error(state, "--set wants KEY=VALUE, found \"%s\"", arg);
    if (c->n_set == (int)(sizeof c->set / sizeof c->set[0]))
        argp_error(state, "too many --set");
    c->set[c->n_set++] = arg;
}

static error_t common_option(int key, char *arg, struct argp_state *state)
{
    struct common *c = state->input;
    char *end;
    switch (key) {
    case 'm':
        c->machine = arg;
        break;
    case 'E':
        c->engine = arg;
        break;
    case ARGP_KEY_SUCCESS:
        if (c->engine)
            use_engine(c);
        break;
    case 'P':
        c->policy = arg;
        break;
    case 'S':
        c->sync = arg;
        break;
    case 's':
        cli_set(state, c, arg);
        break;
    case 1001:
        errno = 0;
        c->seed = strtoull(arg, &end, 10);
        if (errno || *end || !*arg || *arg == '-')
            argp_error(state, "--seed wants a whole number from 0, found \"%s\"", arg);
        break;
    case 1002:
        c->plan_sync = arg;
        break;
    case 'j':
        c->json = true;
        break;
    case 'q':
        c->quiet = true;
        log_open(stderr, LOG_ERROR);
        break;
    case 'v':
        log_open(stderr, LOG_DEBUG);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp common_argp = {.options = common_options, .parser = common_option};
const struct argp_child common_children[] = {{&common_argp, 0, NULL, 0}, {0}};

void common_init(struct common *c)
{
    *c = (struct common){.machine = "host", .policy = default_policy, .sync = default_sync};
}

// --- machines and models

int cli_conf_open(const struct cli_factory *f, const char *const *overrides, int n,
                  struct conf **out, struct err *e)
{
    int rc = f->soc ? conf_open(f->path, out, e) : conf_open_text("host defaults", "", out, e);
    const struct engine *engine = f->soc ? f->engine : NULL;
    if (rc == 0 && engine)
        rc = engine_set(engine, *out, e);
    const char *const *lists[] = {f->set, overrides};
    const int counts[] = {f->n_set, n};
    for (int l = 0; l < 2; l++)
        for (int i = 0; rc == 0 && i < counts[l]; i++) {
            char key[128];
            const char *eq = strchr(lists[l][i], '=');
            if (!eq) {
                rc = err_set(e, ERR_USAGE, "override \"%s\": expected KEY=VALUE", lists[l][i]);
                break;
            }
            snprintf(key, sizeof key, "%.*s", (int)(eq - lists[l][i]), lists[l][i]);
            rc = conf_override(*out, key, eq + 1, e);
        }
    if (rc == 0 && engine)
        rc = engine_scale(engine, *out, e);
    return rc;
}

static int open_machine(const struct machine_factory *base, const char *const *overrides, int n,
                        struct machine **out, struct err *e)
{
    const struct cli_factory *f = (const struct cli_factory *)base;
    struct conf *c = NULL;
    int rc = cli_conf_open(f, overrides, n, &c, e);
    if (rc == 0)
        rc = f->soc ? machine_soc_open(c, base->values, out, e) : machine_host_open(c, out, e);
    conf_close(c);
    return rc;
}

static int digest_machine(const struct machine_factory *base, const char *const *overrides, int n,
                          uint64_t *out, struct err *e)
{
    const struct cli_factory *f = (const struct cli_factory *)base;
    struct conf *c = NULL;
    int rc = cli_conf_open(f, overrides, n, &c, e);
    if (rc == 0)
        rc = f->soc ? machine_soc_config_digest(c, out, e) : machine_host_config_digest(c, out, e);
    conf_close(c);
    return rc;
}

// "hots", "sd8gen3" (without its "soc:"), "soc.sd8gen3".
static int unknown_machine(const char *name, struct err *e)
{
    static char socs[128][64], all[128][72];
    const char *known[257] = {"host"};
    int n = cli_list_configs("soc", socs, 128), count = 1;
    for (int i = 0; i < n; i++) {
        snprintf(all[i], sizeof all[i], "soc:%.60s", socs[i]);
        known[count++] = all[i];
        known[count++] = socs[i];
    }
    const char *near = err_nearest(name, known, (size_t)count);
    for (int i = 0; near && i < n; i++)
        near = near == socs[i] ? all[i] : near;
    return err_set(e, ERR_USAGE, "unknown machine \"%s\"%s%s%s: expected host or soc:NAME", name,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

const char *cli_settings(const struct common *c, struct arena *a)
{
    const char *all = "";
    for (int i = 0; i < c->n_set; i++)
        all = arena_printf(a, "%s%s%s", all, i ? "; " : "", c->set[i]);
    return all;
}

bool cli_add_settings(struct common *c, const char *settings, struct arena *a)
{
    char *p = arena_strdup(a, settings), *next;
    for (; *p; p = next) {
        next = strstr(p, "; ");
        if (next)
            *next = 0;
        next = next ? next + 2 : p + strlen(p);
        if (c->n_set == (int)(sizeof c->set / sizeof c->set[0]))
            return false;
        c->set[c->n_set++] = p;
    }
    return true;
}

int cli_factory_open(const char *machine, const struct common *c, bool values,
                     struct cli_factory *out, struct err *e)
{
    struct cli_factory *f = out;
    *f = (struct cli_factory){.set = c->set, .n_set = c->n_set};
    f->engine = c->engine ? &c->profile : NULL;
    f->base.open = open_machine;
    f->base.digest = digest_machine;
    f->base.values = values;
    snprintf(f->spec, sizeof f->spec, "%s", machine);
    f->base.spec = f->spec;
    if (!strcmp(machine, "host")) {
        if (f->engine && f->engine->n_set + f->engine->n_scale)
            return err_set(e, ERR_USAGE,
                           "engine %s describes kernels of a simulated SoC, the host runs ours; "
                           "try --machine soc:NAME, or --policy %s --sync %s",
                           c->engine, f->engine->policy, f->engine->sync);
        return 0;
    }
    if (strncmp(machine, "soc:", 4))
        return unknown_machine(machine, e);
    f->soc = true;
    f->base.path = f->path;
    return cli_find_config("soc", machine + 4, f->path, sizeof f->path, e);
}

int cli_machine_open(const struct cli_factory *f, struct machine **out, struct err *e)
{
    return f->base.open(&f->base, NULL, 0, out, e);
}

int cli_model_open(const char *name, struct model **out, struct err *e)
{
    char path[512];
    if (cli_find_config("model", name, path, sizeof path, e) < 0)
        return e->code;
    return model_open(path, out, e);
}

int cli_generate_weights(struct model *m, const char *encoding, uint64_t seed, struct err *e)
{
    const struct encoding *enc = encoding_find(encoding);
    if (!enc) {
        const char *names[32];
        size_t n = 0;
        for (; n < encoding_registry_count && n < 32; n++)
            names[n] = encoding_registry[n]->name;
        const char *near = err_nearest(encoding, names, n);
        return err_set(e, ERR_USAGE, "unknown encoding \"%s\"%s%s%s", encoding,
                       near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    return model_generate(m, enc, seed, e);
}

int cli_whole(struct argp_state *state, const char *option, const char *arg, int min, int max)
{
    char *end;
    errno = 0;
    long v = strtol(arg, &end, 10);
    if (errno || *end || end == arg || v < min || v > max)
        argp_error(state, "%s wants a whole number from %d to %d, found \"%s\"", option, min, max,
                   arg);
    return (int)v;
}

enum session_on_loss cli_on_loss(struct argp_state *state, const char *arg)
{
    if (strcmp(arg, "stop") != 0 && strcmp(arg, "continue") != 0)
        argp_error(state, "--on-device-loss wants stop or continue, found \"%s\"", arg);
    return *arg == 'c' ? SESSION_CONTINUE : SESSION_STOP;
}

int cli_twin_open(const struct cli_factory *f, const struct machine *m, struct machine **out,
                  struct err *e)
{
    static const char *const flow[] = {"detail=flow"};
    struct cli_factory timing = *f;
    *out = NULL;
    timing.base.values = false;
    if (!f->soc || (!f->base.values && !machine_soc_cycle(m)))
        return 0;
    return timing.base.open(&timing.base, flow, 1, out, e);
}

int cli_session_open(const struct cli_factory *f, const struct common *c, const struct model *m,
                     int n_prompt, int n_gen, struct cli_session *out, struct err *e)
{
    struct cli_session *s = out;
    struct machine *twin = NULL;
    const struct sync_ops *costs;
    const void *costs_options;
    *s = (struct cli_session){.q = {.model = m, .n_prompt = n_prompt, .n_gen = n_gen}};
    arena_init(&s->arena);
    s->cost = cost_create();
    if (f->engine && engine_model(f->engine, m, &s->model, e) < 0)
        goto fail;
    s->q.model = m = s->model ? s->model : m;
    if (policy_parse(c->policy, &s->arena, &s->q.policy, &s->q.policy_options, e) < 0 ||
        sync_parse(c->sync, &s->arena, &s->q.sync, &s->q.sync_options, e) < 0 ||
        sync_parse(c->plan_sync ? c->plan_sync : c->sync, &s->arena, &costs, &costs_options, e) <
            0 ||
        cli_machine_open(f, &s->machine, e) < 0)
        goto fail;
    if (cli_twin_open(f, s->machine, &twin, e) < 0)
        goto fail;
    struct machine *bench = twin ? twin : s->machine;
    struct machine_desc d;
    machine_describe(bench, &d);
    if (s->q.sync->offered(&d, s->q.sync_options, e) < 0 ||
        costs->offered(&d, costs_options, e) < 0 ||
        session_profile(bench, m, n_prompt, n_gen, s->cost, e) < 0 ||
        profile_sync(bench, m, costs, costs_options, n_prompt, s->cost, e) < 0)
        goto fail;
    if (twin)
        twin->ops->close(twin);
    s->q.machine = s->machine;
    s->q.cost = s->cost;
    s->q.sampler = (struct sampler_options){.top_p = 1, .seed = c->seed};
    return 0;
fail:
    if (twin)
        twin->ops->close(twin);
    cli_session_close(s);
    return e->code;
}

int cli_trace_open(const char *path, const struct common *c, const char *model,
                   struct trace_file **out, struct err *e)
{
    char title[400];
    *out = NULL;
    snprintf(title, sizeof title, "%.90s, %.90s, %.90s, %.90s", c->machine, model, c->policy,
             c->sync);
    return path ? trace_file_open(path, title, out, e) : 0;
}

int cli_trace_close(struct trace_file *t, int rc, struct err *e)
{
    return t ? trace_file_close(t, rc, e) : rc;
}

void cli_session_close(struct cli_session *s)
{
    if (s->machine)
        s->machine->ops->close(s->machine);
    if (s->model)
        model_close(s->model);
    cost_destroy(s->cost);
    arena_fini(&s->arena);
    *s = (struct cli_session){0};
}
