// SPDX-License-Identifier: GPL-3.0-or-later
// Every point of a space is found again by its words, and nothing else is.
#include "explore/space_find.h"
#include "tests/explore/util.h"

#define WITH_SOC                                                                                   \
    SMALL_SPACE "soc = ({key = \"dram.timing.channels\"; values = [2, 4];},\n"                     \
                "  {key = \"npu.arch.arrays\"; values = [1, 16];});\n"

static void test_all_points(void)
{
    struct space *s = space_of(WITH_SOC);
    struct space_finder *f = space_finder_create(s);
    struct search_space view;
    struct search_point p, q;
    struct space_config g;
    struct arena a;
    int64_t n = 0;
    arena_init(&a);
    space_search(s, &view);
    for (bool more = search_first(&view, &p); more; more = search_next(&view, &p), n++) {
        space_resolve(s, &p, &a, &g);
        CHECK(space_finder_find(f, g.policy, g.sync, g.soc, "", &q));
        for (int i = 0; i < s->n_params; i++)
            CHECK_INT(q.choice[i], p.choice[i]);
    }
    CHECK_INT(n, 4 * 3 * 4);
    CHECK(!space_finder_find(f, "npu_only", g.sync, g.soc, "", &q));
    CHECK(!space_finder_find(f, g.policy, "poll", g.soc, "", &q));
    CHECK(!space_finder_find(f, g.policy, g.sync, "", "", &q));
    CHECK(!space_finder_find(f, g.policy, g.sync, "dram.timing.channels=2", "", &q));
    CHECK(!space_finder_find(f, g.policy, g.sync, "dram.timing.channels=2; npu.arch.arrays=160", "",
                             &q));
    CHECK(space_finder_find(f, g.policy, g.sync, "dram.timing.channels=2; npu.arch.arrays=16", "",
                            &q));
    arena_fini(&a);
    space_finder_destroy(f);
    space_close(s);
}

TESTS(explore_space_find, T(test_all_points))
