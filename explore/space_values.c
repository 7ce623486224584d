// SPDX-License-Identifier: GPL-3.0-or-later
// The choices of a key: one value, an array of values, or a range.
//
//     margin = "50 us";                                            fixed
//     margin = ["20 us", "50 us", "100 us"];                       three choices
//     margin = {from = "50 us"; to = "200 us"; step = "50 us";};   four, evenly spaced
//     margin = {from = "50 us"; to = "200 us"; steps = 4;};        the same
//
// A range is written out as the array that it stands for, in the unit of its ends, and is then what
// any array is.
#include <math.h>
#include <string.h>
#include "base/num.h"
#include "explore/space_internal.h"

enum { MAX_CHOICES = 1000 };

// A number with what follows it: "50 us" is 50 and "us".
struct quantity {
    double value;
    const char *unit;
};

static int read_quantity(const struct loader *l, const struct conf_node *range, const char *key,
                         const char *path, struct quantity *out)
{
    char text[MAX_TEXT], why[160];
    if (!load_has(range, key)) {
        snprintf(why, sizeof why, "missing required key \"%s\" of a range", key);
        return load_fail(l, range, NULL, path, why);
    }
    size_t n = conf_text(range, key, -1, text, sizeof text) ? num_span(text) : 0;
    if (!n) {
        snprintf(why, sizeof why, "expected a number, with its unit where it has one, as \"%s\"",
                 key);
        return load_fail(l, range, key, path, why);
    }
    out->value = num_parse(text);
    out->unit = arena_strdup(&l->s->arena, text + n + strspn(text + n, " "));
    return isfinite(out->value) ? 0 : load_fail(l, range, key, path, "not a finite number");
}

// How many values a range has, both ends included; negative on error.
static int count_values(const struct loader *l, const struct conf_node *range, const char *path,
                        const struct quantity *from, const struct quantity *to)
{
    struct quantity q;
    bool step = load_has(range, "step"), steps = load_has(range, "steps");
    const char *key = step ? "step" : "steps";
    if (step == steps)
        return load_fail(l, range, step ? "steps" : NULL, path,
                         "a range has either step, a difference, or steps, a number of values");
    if (read_quantity(l, range, key, path, &q) < 0)
        return -1;
    if (steps) {
        if (*q.unit || q.value != floor(q.value) || q.value < 2 || q.value > MAX_CHOICES)
            return load_fail(l, range, key, path, "expected a whole number from 2 to 1000");
        return (int)q.value;
    }
    if (strcmp(q.unit, from->unit))
        return load_fail(l, range, key, path, "from, to and step need the same unit");
    if (!(q.value > 0))
        return load_fail(l, range, key, path, "expected a step above 0");
    double n = (to->value - from->value) / q.value;
    if (n > MAX_CHOICES - 1)
        return load_fail(l, range, key, path, "more than 1000 values");
    if (fabs(n - round(n)) > 1e-9 * fabs(n))
        return load_fail(l, range, key, path, "`to` is not a whole number of steps from `from`");
    return (int)round(n) + 1;
}

// To 12 digits: 0.1 + 0.2 is 0.3 to whoever wrote the range.
static double rounded(double v)
{
    double scale = v != 0 ? pow(10, 12 - ceil(log10(fabs(v)))) : 1;
    double r = round(v * scale) / scale;
    return isfinite(r) ? r : v;
}

static int read_range(const struct loader *l, const struct conf_node *n, const char *key,
                      const char *path, struct space_param *p)
{
    static const char *const keys[] = {"from", "to", "step", "steps"};
    const struct conf_node *range = conf_child(n, key);
    struct quantity from, to;
    struct arena *a = &l->s->arena;
    char number[32];
    if (load_check_keys(l, range, "key of a range", keys, 4) < 0 ||
        read_quantity(l, range, "from", path, &from) < 0 ||
        read_quantity(l, range, "to", path, &to) < 0)
        return -1;
    if (strcmp(from.unit, to.unit))
        return load_fail(l, range, "to", path, "from, to and step need the same unit");
    if (!(from.value < to.value))
        return load_fail(l, range, "to", path,
                         "the bounds are reversed: `from` must be below `to`");
    p->n = count_values(l, range, path, &from, &to);
    if (p->n < 0)
        return -1;
    p->choice = ARENA_NEWS(a, (size_t)p->n, const char *);
    for (int i = 0; i < p->n; i++) {
        double v = from.value + (to.value - from.value) * i / (p->n - 1);
        p->choice[i] = arena_printf(a, "%s%s%s", num_print(rounded(v), number),
                                    *from.unit ? " " : "", from.unit);
    }
    return 0;
}

static int read_array(const struct loader *l, const struct conf_node *n, const char *key,
                      const char *path, bool list_value, struct space_param *p, bool *scalar)
{
    struct arena *a = &l->s->arena;
    char text[MAX_TEXT];
    int length = conf_length(n, key);
    const char *whole = conf_text(n, key, -1, text, sizeof text);
    if (!whole && length < 1)
        return load_fail(l, n, key, path, "expected a value, an array of values, or a range");
    bool array = !whole || whole[0] == '[';
    if (array && list_value) { // of lists, or the list itself?
        char first[MAX_TEXT];
        array = length > 0 && conf_text(n, key, 0, first, sizeof first) && first[0] == '[';
    }
    if (array && !length)
        return load_fail(l, n, key, path, "an empty array leaves nothing to choose");
    if (length > MAX_CHOICES)
        return load_fail(l, n, key, path, "more than 1000 values");
    p->n = array ? length : 1;
    p->choice = ARENA_NEWS(a, (size_t)p->n, const char *);
    for (int i = 0; i < p->n; i++) {
        if (!conf_text(n, key, array ? i : -1, text, sizeof text))
            return load_fail(l, n, key, path, "expected a value, found a group or a long text");
        bool quote = text[0] != '[' && strpbrk(text, ",\"");
        p->choice[i] = arena_printf(a, quote ? "\"%s\"" : "%s", text);
    }
    *scalar = !array;
    return 0;
}

// Are the choices quantities of one kind, each above the one before it?
static bool rising(const struct space_param *p)
{
    for (int u = UNIT_NONE; u < UNIT_COUNT; u++) {
        double last = -INFINITY, v = 0;
        int i = 0;
        while (i < p->n && unit_parse((enum unit)u, p->choice[i], &v, NULL) >= 0 && v > last) {
            last = v;
            i++;
        }
        if (i == p->n)
            return true;
    }
    return false;
}

int load_choices(const struct loader *l, const struct conf_node *n, const char *key,
                 const char *path, bool list_value, struct space_param *p, bool *scalar)
{
    *scalar = false;
    int rc = conf_child(n, key) ? read_range(l, n, key, path, p)
                                : read_array(l, n, key, path, list_value, p, scalar);
    if (rc < 0)
        return rc;
    p->ordered = p->n > 1 && rising(p);
    return 0;
}
