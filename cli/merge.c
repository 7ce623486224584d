// SPDX-License-Identifier: GPL-3.0-or-later
// partita merge: several stores into one.
#include "cli/cli.h"

#include <inttypes.h>
#include "base/digest.h"
#include "explore/store.h"

enum { MAX_STORES = 4096, KEY_JSON = 2400 };

struct merge_options {
    const char *store[MAX_STORES]; // the first is the one that grows
    int n;
    bool json;
};

static const struct argp_option options[] = {
    {"json", KEY_JSON, 0, 0, "print the result as JSON", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct merge_options *o = state->input;
    switch (key) {
    case KEY_JSON:
        o->json = true;
        break;
    case ARGP_KEY_ARG:
        if (o->n == MAX_STORES)
            argp_error(state, "too many stores at once");
        o->store[o->n++] = arg;
        break;
    case ARGP_KEY_END:
        if (o->n < 2)
            argp_error(state, "which stores? merge OUT.db IN.db ...");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "OUT.db IN.db...",
    "Adds everything that the stores IN hold to the store OUT, which is made if it is not there. A "
    "point that several hold is there once; merging again changes nothing, and the order does not "
    "matter.",
    NULL,
    NULL,
    NULL};

static int report(struct store *s, const struct merge_options *o, struct err *e)
{
    uint64_t d;
    char hex[17];
    struct json j;
    int64_t points = 0, campaigns = 0;
    if (store_digest(s, &d, e) < 0 || store_count(s, &points, &campaigns, e) < 0)
        return e->code;
    if (!o->json) {
        printf("%s: %" PRId64 " points of %" PRId64 " campaigns, digest %s\n", o->store[0], points,
               campaigns, digest_text(d, hex));
        return 0;
    }
    json_begin(&j, stdout, true);
    json_object_begin(&j, NULL);
    json_str(&j, "store", o->store[0]);
    json_i64(&j, "points", points);
    json_i64(&j, "campaigns", campaigns);
    json_str(&j, "digest", digest_text(d, hex));
    json_object_end(&j);
    json_end(&j);
    return 0;
}

int cmd_merge(int argc, char **argv)
{
    static struct merge_options o;
    struct store *s;
    struct err e = {0}, late = {0};
    cli_parse(&argp, argc, argv, &o);
    for (int i = 1; i < o.n; i++) { // all of them are stores, or nothing is begun
        if (store_open(o.store[i], STORE_READ, &s, &e) < 0)
            return cli_fail(&e);
        store_close(s, NULL);
    }
    if (store_open(o.store[0], STORE_WRITE, &s, &e) < 0)
        return cli_fail(&e);
    int rc = 0;
    for (int i = 1; rc >= 0 && i < o.n; i++)
        rc = store_merge(s, o.store[i], &e);
    if (rc >= 0)
        rc = report(s, &o, &e);
    if (store_close(s, rc < 0 ? &late : &e) < 0 || rc < 0)
        return cli_fail(&e);
    return EXIT_OK;
}
