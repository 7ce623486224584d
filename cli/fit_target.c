// SPDX-License-Identifier: GPL-3.0-or-later
// The keys that a calibration may move. A configuration says of each value where it comes from, in
// the comment behind it: `fitted` may be fitted again, `guess` only when asked, and whatever else
// is there (a specification, a publication) is not ours to change, unless its key is given by name.
//
// Who only asks what a value matters (fit_selection.vary) may name any number, and gets the guesses
// when naming none.
//
// Afterwards the file says what the rows said: a value that they determine is `fitted` with the
// rows that matter, one that they do not is a `guess` with the reason.
#include "cli/fit.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"
#include "models/soc/soc.h"

// --- values as text

static double unit_scale(enum unit u, const char *suffix)
{
    char one[FIT_TEXT];
    double scale;
    snprintf(one, sizeof one, "1%s", suffix);
    return unit_parse(u, one, &scale, NULL) == 0 ? scale : 0;
}

// Four significant digits without an exponent; false where that is no readable number.
static bool digits(double v, char *buf, size_t size)
{
    if (v != 0 && (fabs(v) < 0.1 || fabs(v) >= 1e5))
        return false;
    int behind = v == 0 ? 0 : 3 - (int)floor(log10(fabs(v)));
    snprintf(buf, size, "%.*f", behind > 0 ? behind : 0, v);
    char *point = strchr(buf, '.'), *end = buf + strlen(buf);
    while (point && (end[-1] == '0' || end[-1] == '.')) {
        bool stop = *--end == '.';
        *end = 0;
        if (stop)
            break;
    }
    return true;
}

// Whole, for keys that are whole in their base unit; a size of many KiB in whole KiB.
static double base_round(const struct fit_key *k, double x)
{
    if (k->row->type != CONF_INT)
        return x;
    if (k->row->unit == UNIT_SIZE && x >= 65536)
        return nearbyint(x / 1024) * 1024;
    return nearbyint(x);
}

const char *fit_exact_text(const struct fit_key *k, double x, char buf[FIT_TEXT])
{
    if (k->row->type == CONF_INT)
        x = nearbyint(x);
    if (k->row->type == CONF_INT && k->row->unit == UNIT_NONE)
        snprintf(buf, FIT_TEXT, "%.0f", x);
    else
        unit_format(k->row->unit, x, buf, FIT_TEXT);
    return buf;
}

const char *fit_value_text(const struct fit_key *k, double x, char buf[FIT_TEXT])
{
    const char *suffix = k->written + num_span(k->written);
    char number[40];
    x = base_round(k, x);
    if (k->row->type == CONF_INT && (k->row->unit == UNIT_NONE || k->row->unit == UNIT_SIZE))
        return fit_exact_text(k, x, buf);
    double scale = unit_scale(k->row->unit, suffix), back;
    if (scale > 0 && digits(x / scale, number, sizeof number)) {
        snprintf(buf, FIT_TEXT, "%.39s%.50s", number, suffix);
        bool whole = unit_parse(k->row->unit, buf, &back, NULL) == 0 &&
                     (k->row->type != CONF_INT || back == floor(back));
        if (whole)
            return buf;
    }
    // Another unit then, with the same number of digits.
    double grain = x == 0 ? 1 : pow(10, floor(log10(fabs(x))) - 3);
    x = grain >= 1 ? nearbyint(x / grain) * grain : nearbyint(x * (1 / grain)) / (1 / grain);
    return fit_exact_text(k, x, buf);
}

double fit_key_unit(const struct fit_key *k, const char **unit)
{
    const char *suffix = k->written + num_span(k->written);
    double scale = unit_scale(k->row->unit, suffix);
    *unit = scale > 0 ? suffix + strspn(suffix, " ") : "";
    return scale > 0 ? scale : 1;
}

double fit_round_value(const struct fit_key *k, double x)
{
    char text[FIT_TEXT];
    double v = x;
    unit_parse(k->row->unit, fit_value_text(k, x, text), &v, NULL);
    return v;
}

// --- choosing

static bool marked(const char *comment, const char *mark)
{
    size_t n = strlen(mark);
    return !strncmp(comment, mark, n) && !strchr("abcdefghijklmnopqrstuvwxyz_", comment[n] | 32);
}

enum { PATTERNS = 64 };

struct pattern {
    char text[FIT_TEXT];
    bool hold;   // the keys stay as they are
    int matched; // keys
};

struct choice {
    struct fit_target *t;
    const struct conf *c;
    const struct fit_selection *s;
    struct err *e;
    struct pattern pattern[PATTERNS]; // of --free and --hold
    int n_patterns, n_free;           // n_free: of --free
    const char *known[256];           // names that may be fitted, for the nearest one
    int n_known;
    struct arena arena;
};

// May the key be moved? Notes which pattern matched.
static bool chosen(struct choice *x, const struct fit_key *k)
{
    bool fit = marked(k->comment, "fitted"), guess = marked(k->comment, "guess");
    bool vary = x->s->vary, hit = false, held = false;
    bool ours = vary ? guess : fit || (guess && x->s->also_guess);
    for (int i = 0; i < x->n_patterns; i++) {
        struct pattern *p = &x->pattern[i];
        if (fnmatch(p->text, k->name, 0) != 0)
            continue;
        p->matched++;
        held |= p->hold;
        hit |= !p->hold && (ours || vary || !strpbrk(p->text, "*?["));
    }
    return (x->n_free ? hit : ours) && !held;
}

static const char *option_of(const struct fit_selection *s)
{
    return s->vary ? "--sensitivity" : "--free";
}

static int add(struct choice *x, const struct fit_key *k)
{
    struct fit_target *t = x->t;
    const struct conf_row *row = k->row;
    double start = 0;
    if (x->n_known < 256)
        x->known[x->n_known++] = arena_strdup(&x->arena, k->name);
    if (!chosen(x, k))
        return 0;
    if (t->n == FIT_MAX_PARAMETERS)
        return err_at(x->e, ERR_USAGE, t->path, 0, NULL, "more than %d keys to %s; choose with %s",
                      (int)FIT_MAX_PARAMETERS, x->s->vary ? "vary" : "fit", option_of(x->s));
    if (unit_parse(row->unit, k->written, &start, x->e) < 0)
        return err_at(x->e, ERR_CONFIG, t->path, 0, k->key, "'%.40s' is not a number", k->written);
    // What a row leaves open is positive, if the value is.
    bool low = row->min != 0 || row->max != 0, high = low && row->max >= row->min;
    t->key[t->n] = *k;
    t->parameter[t->n] = (struct fit_parameter){
        .name = t->key[t->n].name,
        .start = start,
        .min = low && row->min > -1e300 ? row->min
               : start >= 0             ? 0
                                        : -INFINITY,
        .max = high && row->max < 1e300 ? row->max : INFINITY,
        .whole = row->type == CONF_INT && row->unit == UNIT_NONE,
    };
    t->n++;
    return 0;
}

static bool is_number(const struct conf_row *row)
{
    return row && (row->type == CONF_INT || row->type == CONF_REAL);
}

// All scalars of a SoC below a group, in the order of the file.
// A value that is no number: of a list, the comment stands behind its first element.
static void skip(struct choice *x, struct fit_key *k)
{
    struct fit_target *t = x->t;
    char first[FIT_TEXT + 4];
    snprintf(first, sizeof first, "%s[0]", k->key);
    conf_edit_comment(t->edit, conf_edit_has(t->edit, k->key) ? k->key : first, k->comment,
                      sizeof k->comment);
    if (x->s->vary && chosen(x, k) && t->n_skipped < FIT_MAX_PARAMETERS)
        memcpy(t->skipped[t->n_skipped++], k->name, sizeof k->name);
}

static int walk(struct choice *x, const struct conf_node *n, const char *prefix)
{
    const char *names[128];
    int total = conf_keys(n, names, 128), rc = 0;
    for (int i = 0; i < total && i < 128 && rc == 0; i++) {
        struct fit_key k = {.row = NULL};
        const struct conf_node *child = conf_child(n, names[i]);
        if (snprintf(k.name, sizeof k.name, "%s%s%s", prefix, *prefix ? "." : "", names[i]) >=
            (int)sizeof k.name)
            continue;
        memcpy(k.key, k.name, sizeof k.key);
        if (child) {
            rc = walk(x, child, k.name);
            continue;
        }
        k.row = machine_soc_row(x->c, k.name);
        if (!is_number(k.row) || !conf_edit_has(x->t->edit, k.key) ||
            !conf_text(n, names[i], -1, k.written, sizeof k.written)) {
            skip(x, &k);
            continue;
        }
        conf_edit_comment(x->t->edit, k.key, k.comment, sizeof k.comment);
        rc = add(x, &k);
    }
    return rc;
}

static int walk_engine(struct choice *x)
{
    static const struct conf_row factor = {
        .name = "factor", .type = CONF_REAL, .min = 1e-3, .max = 1e3};
    const struct conf_node *root = conf_root(x->c);
    int rc = 0;
    for (int i = 0; i < conf_count(root, "scale") && rc == 0; i++) {
        struct fit_key k = {.row = &factor};
        const struct conf_node *n = conf_element(root, "scale", i);
        snprintf(k.key, sizeof k.key, "scale[%d].factor", i);
        if (!n || !conf_text(n, "key", -1, k.name, sizeof k.name) ||
            !conf_text(n, "factor", -1, k.written, sizeof k.written) ||
            !conf_edit_has(x->t->edit, k.key))
            continue;
        conf_edit_comment(x->t->edit, k.key, k.comment, sizeof k.comment);
        rc = add(x, &k);
    }
    return rc;
}

static int read_patterns(struct choice *x, const char *p, const char *option)
{
    while (p && *p) {
        size_t n = strcspn(p, ",");
        if (n == 0 || n >= FIT_TEXT || x->n_patterns == PATTERNS)
            return err_set(x->e, ERR_USAGE, "%s: expected KEY,KEY..., found \"%.60s\"", option, p);
        struct pattern *to = &x->pattern[x->n_patterns++];
        snprintf(to->text, sizeof to->text, "%.*s", (int)n, p);
        to->hold = !strcmp(option, "--hold");
        x->n_free += !to->hold;
        p += n + (p[n] == ',');
    }
    return 0;
}

static int complain(const struct choice *x)
{
    const struct fit_target *t = x->t;
    for (int i = 0; i < x->n_patterns; i++) {
        if (x->pattern[i].matched)
            continue;
        const char *text = x->pattern[i].text;
        const char *near = err_nearest(text, x->known, (size_t)x->n_known);
        return err_at(x->e, ERR_USAGE, t->path, 0, text, "no number of this name in the file%s%s%s",
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    if (t->n)
        return 0;
    if (x->s->free && t->n_skipped)
        return err_at(x->e, ERR_USAGE, t->path, 0, t->skipped[0], "not a number");
    return err_at(
        x->e, ERR_USAGE, t->path, 0, NULL, "no value is marked `// %s`%s; name keys with %s",
        x->s->vary ? "guess" : "fitted", x->s->also_guess ? " or `// guess`" : "", option_of(x->s));
}

int fit_target_open(const char *path, bool engine, const struct fit_selection *s,
                    struct fit_target *out, struct err *e)
{
    struct conf *c = NULL;
    struct choice *x = calloc(1, sizeof *x);
    struct fit_target *t = out;
    if (!x)
        abort();
    *t = (struct fit_target){.engine = engine};
    *x = (struct choice){.t = t, .s = s, .e = e};
    arena_init(&x->arena);
    snprintf(t->path, sizeof t->path, "%s", path);
    int rc = conf_edit_open(path, &t->edit, e);
    if (rc == 0)
        rc = conf_open(path, &c, e);
    x->c = c;
    if (rc == 0)
        rc = read_patterns(x, s->free, option_of(s));
    if (rc == 0)
        rc = read_patterns(x, s->hold, "--hold");
    if (rc == 0)
        rc = engine ? walk_engine(x) : walk(x, conf_root(c), "");
    if (rc == 0)
        rc = complain(x);
    conf_close(c);
    arena_fini(&x->arena);
    free(x);
    if (rc < 0)
        fit_target_close(t);
    return rc;
}

void fit_target_close(struct fit_target *t)
{
    conf_edit_close(t->edit);
    *t = (struct fit_target){0};
}

// --- writing back

static void append(char *text, size_t size, const char *s)
{
    size_t at = strlen(text);
    snprintf(text + at, size - at, "%s", s);
}

// Does the list "a.*, b" of an old comment name all of these rows?
static bool names_rows(const char *list, const struct fit_estimate *e, const struct fit_row *row)
{
    size_t end = strcspn(list, ")");
    for (int i = 0; i < e->n_top; i++) {
        bool found = false;
        for (const char *p = list; p < list + end;) {
            char pattern[FIT_TEXT];
            size_t n = strcspn(p, ",)");
            snprintf(pattern, sizeof pattern, "%.*s", (int)(n < FIT_TEXT ? n : FIT_TEXT - 1), p);
            found |= fnmatch(pattern, row[e->top[i]].name, 0) == 0;
            p += n + (p[n] == ',');
            p += strspn(p, " ");
        }
        if (!found)
            return false;
    }
    return true;
}

// What a human wrote behind "fitted (rows)...: " or "guess: ".
static const char *remainder_of(const char *comment)
{
    const char *colon = strstr(comment, ": ");
    bool ours = marked(comment, "fitted") || marked(comment, "guess");
    return colon && ours ? colon + 2 : "";
}

static void fitted_comment(const struct fit_key *k, const struct fit_estimate *e,
                           const struct fit_row *row, const char *source, bool name_rows, char *out,
                           size_t size)
{
    const char *list = strchr(k->comment, '('), *rest = remainder_of(k->comment);
    char more[40];
    if (name_rows && marked(k->comment, "fitted") && list && names_rows(list + 1, e, row)) {
        snprintf(out, size, "%s", k->comment);
        return;
    }
    snprintf(out, size, "fitted (");
    for (int i = 0; name_rows && i < e->n_top; i++) {
        append(out, size, i ? ", " : "");
        append(out, size, row[e->top[i]].name);
    }
    snprintf(more, sizeof more, " and %d more", e->n_rows - e->n_top);
    append(out, size, !name_rows ? source : e->n_rows > e->n_top ? more : "");
    append(out, size, ")");
    if (e->at)
        append(out, size, e->at < 0 ? ", at its lower bound" : ", at its upper bound");
    append(out, size, *rest ? ": " : "");
    append(out, size, rest);
}

static void guess_comment(const struct fit_target *t, int i, const struct fit_result *r,
                          const char *source, char *out, size_t size)
{
    const struct fit_estimate *e = &r->estimate[i];
    const char *rest = remainder_of(t->key[i].comment);
    char why[160] = "";
    if (e->verdict == FIT_UNMOVED)
        snprintf(why, sizeof why, ", which does not depend on it");
    else if (e->verdict == FIT_WEAK)
        snprintf(why, sizeof why, ", standard error %.0f %%", fmin(100 * e->error, 9999));
    for (int d = 0; e->verdict == FIT_TOGETHER && d < r->n_directions && !*why; d++) {
        const struct fit_direction *at = &r->direction[d];
        bool member = false;
        for (int k = 0; k < at->n; k++)
            member |= at->parameter[k] == i;
        for (int k = 0; member && k < at->n; k++)
            if (at->parameter[k] != i) {
                append(why, sizeof why, *why ? ", " : ", only together with ");
                append(why, sizeof why, t->key[at->parameter[k]].name);
            }
    }
    snprintf(out, size, "guess: not determined by %s%s", source, why);
    append(out, size, *rest ? "; " : "");
    append(out, size, rest);
}

int fit_target_apply(struct fit_target *t, const struct fit_result *r, const struct fit_row *row,
                     const char *source, bool name_rows, struct err *e)
{
    const char *base = strrchr(source, '/');
    source = base ? base + 1 : source;
    for (int i = 0; i < t->n; i++) {
        const struct fit_key *k = &t->key[i];
        const struct fit_estimate *x = &r->estimate[i];
        bool known = x->verdict == FIT_DETERMINED || x->verdict == FIT_CALIBRATED ||
                     x->verdict == FIT_AT_BOUND;
        bool moved = x->value != t->parameter[i].start;
        char comment[800] = "", text[FIT_TEXT] = "", value[FIT_TEXT + 2] = "";
        fit_value_text(k, x->value, text);
        bool quoted = k->row->unit != UNIT_NONE;
        bool point = !quoted && k->row->type == CONF_REAL && !strpbrk(text, ".e");
        snprintf(value, sizeof value, "%s%.90s%s", quoted ? "\"" : "", text,
                 quoted  ? "\""
                 : point ? ".0"
                         : "");
        if (known)
            fitted_comment(k, x, row, source, name_rows, comment, sizeof comment);
        else
            guess_comment(t, i, r, source, comment, sizeof comment);
        // Nothing new is known of a guess that stays, or of a value that stays at its bound.
        bool keep = !moved && (x->at || (!known && marked(k->comment, "guess")));
        if (conf_edit_set(t->edit, k->key, moved ? value : NULL, keep ? NULL : comment, e) < 0)
            return e->code;
    }
    return 0;
}
