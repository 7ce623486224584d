// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a store: opened, read through, written to, merged from. SQLite is what reads the
// pages; what is ours is believing what it says.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "explore/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct store *s)
{
    struct campaign_row *rows;
    struct store_campaign *list;
    struct store_validation *v;
    struct arena a;
    struct err e = {0};
    uint64_t digest;
    arena_init(&a);
    int n = store_campaigns(s, &a, &list, &e);
    if (n < 0 && !e.msg[0])
        abort();
    for (int i = 0; i < n && i < 4; i++) {
        store_rows(s, list[i].id, &a, &rows, &e);
        store_validations(s, list[i].id, &a, &v, &e);
    }
    n = store_rows(s, 0, &a, &rows, &e);
    for (int i = 0; i < n; i++)
        if (!rows[i].policy || !rows[i].label || rows[i].m.status >= METRICS_STATUSES)
            abort();
    store_digest(s, &digest, &e);
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64], other[64];
    struct store *s;
    struct err e = {0};
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; // no fsyncs there
    snprintf(path, sizeof path, "%s/partita-fuzz-%d.db", folder, (int)getpid());
    snprintf(other, sizeof other, "%s/partita-fuzz-%d-to.db", folder, (int)getpid());
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
    int rc = store_open(path, STORE_READ, &s, &e);
    if (rc < 0 && !e.msg[0])
        abort();
    if (rc >= 0) {
        read_all(s);
        store_close(s, NULL);
    }
    if (rc >= 0 && store_open(other, STORE_WRITE, &s, &e) >= 0) {
        store_merge(s, path, &e);
        store_close(s, &e);
    }
    if (rc >= 0 && store_open(path, STORE_WRITE, &s, &e) >= 0) {
        struct campaign_row r = {.key = 1};
        metrics_init(&r.m, METRICS_OK);
        store_put(s, &r, &e);
        store_close(s, &e);
    }
    unlink(path);
    unlink(other);
    return 0;
}
