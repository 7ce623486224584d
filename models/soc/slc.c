// SPDX-License-Identifier: GPL-3.0-or-later
// Both views of the cache. They count the same thing, bytes of reads that need no DRAM, and agree
// where buffers are used as a whole; the flow level knows no conflicts between sets.
// Invariant: a set's ways are ordered by their last use.
#include "models/soc/slc.h"

#include <stdlib.h>
#include <string.h>

int slc_open(struct slc *c, int64_t size, int64_t ways, int64_t line, struct err *e)
{
    *c = (struct slc){.size = size, .line = line, .ways = ways};
    if (!size)
        return 0;
    c->sets = size / (ways * line);
    if (c->sets < 1)
        return err_at(e, ERR_CONFIG, NULL, 0, "dram.slc",
                      "%lld bytes hold no set of %lld ways of dram.request = %lld bytes",
                      (long long)size, (long long)ways, (long long)line);
    c->tag = calloc((size_t)(c->sets * ways), sizeof *c->tag);
    return c->tag ? 0 : err_set(e, ERR_MEMORY, "no memory for the tags of dram.slc");
}

void slc_close(struct slc *c)
{
    free(c->tag);
    c->tag = NULL;
}

void slc_reset(struct slc *c)
{
    c->entered = c->hits = 0;
    if (c->tag)
        memset(c->tag, 0, (size_t)(c->sets * c->ways) * sizeof *c->tag);
}

bool slc_touch(struct slc *c, uint64_t address, int64_t bytes, bool write)
{
    uint64_t line = address / (uint64_t)c->line;
    uint64_t *set = c->tag + (int64_t)(line % (uint64_t)c->sets) * c->ways, tag = line + 1;
    int64_t way = 0;
    while (way < c->ways - 1 && set[way] != tag)
        way++;
    bool there = set[way] == tag;
    memmove(set + 1, set, (size_t)way * sizeof *set);
    set[0] = tag;
    if (there && !write)
        c->hits += (double)bytes;
    return there && !write;
}

int64_t slc_reuse(struct slc *c, double *stamp, int64_t bytes, bool write)
{
    double distance = c->entered - *stamp, size = (double)c->size;
    bool there = *stamp >= 0 && distance <= size;
    if (!there || (double)bytes > size)
        c->entered += (double)bytes;
    *stamp = c->entered - (double)bytes;
    if (!there || write || (double)bytes > size)
        return 0;
    c->hits += (double)bytes;
    return bytes;
}
