// SPDX-License-Identifier: GPL-3.0-or-later
// Every machine of the project, for the contract tests: the host with whatever devices it has, and
// one simulated machine per file of configs/soc at flow level, and one at cycle level. A new SoC is
// tested the moment its file exists.
#ifndef TESTS_CONTRACT_MACHINES_H
#define TESTS_CONTRACT_MACHINES_H

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/host.h"
#include "engine/machine.h"
#include "models/soc/soc.h"
#include "tests/hexagon/fixture.h"

#define MACHINES_SMALL_MODEL "data/partita-stories.gguf"

static inline struct machine *machines_soc_detail(const char *path, const char *detail, bool values)
{
    struct conf *c;
    struct machine *m = NULL;
    struct err e = {0};
    if (!CHECK_OK(conf_open(path, &c, &e), &e))
        return NULL;
    CHECK_OK(conf_override(c, "detail", detail, &e), &e);
    CHECK_OK(machine_soc_open(c, values, &m, &e), &e);
    conf_close(c);
    return m;
}

static inline struct machine *machines_soc(const char *path, bool values)
{
    return machines_soc_detail(path, "flow", values);
}

// text: configuration of the host machine, NULL: defaults.
static inline struct machine *machines_host(const char *text)
{
    struct conf *c = NULL;
    struct machine *m = NULL;
    struct err e = {0};
    if (text && !CHECK_OK(conf_open_text("test", text, &c, &e), &e))
        return NULL;
    CHECK_OK(machine_host_open(c, &m, &e), &e);
    conf_close(c);
    return m;
}

// The host machine with the Hexagon skel behind a stand-in as its only device; NULL: not built.
static inline struct machine *machines_hexagon(enum fixture_kind kind, const char *more)
{
    char text[1200];
    const char *library = fixture_library(kind);
    if (!library)
        return NULL;
    snprintf(text, sizeof text,
             "cpu = { enabled = false; }; gpu = { enabled = false; };"
             "hexagon = { library = \"%s\"; %s };",
             library, more ? more : "");
    return machines_host(text);
}

static inline void machines_close(struct machine *m)
{
    if (m)
        m->ops->close(m);
}

static inline void machines_each_soc(bool values, void (*fn)(struct machine *m))
{
    glob_t g;
    if (!CHECK(glob("configs/soc/*.cfg", 0, NULL, &g) == 0))
        return;
    CHECK(g.gl_pathc >= 5);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct machine *m = machines_soc(g.gl_pathv[i], values);
        if (m)
            fn(m);
        machines_close(m);
    }
    globfree(&g);
    struct machine *m = machines_soc_detail("configs/soc/sd8gen3.cfg", "cycle", values);
    if (m)
        fn(m);
    machines_close(m);
}

// Every machine that computes values: the simulated ones, and the host, also with a Hexagon DSP.
static inline void machines_each(void (*fn)(struct machine *m))
{
    machines_each_soc(true, fn);
    struct machine *m = machines_host(NULL);
    if (m)
        fn(m);
    machines_close(m);
    m = machines_hexagon(FIXTURE_NATIVE, NULL);
    if (m)
        fn(m);
    machines_close(m);
}

static inline int machines_index(const struct machine *m, enum device_kind k)
{
    for (int i = 0; i < m->n_devices; i++)
        if (m->device[i]->caps.kind == k)
            return i;
    return -1;
}

#endif
