// SPDX-License-Identifier: GPL-3.0-or-later
// Any configuration, any scalar of it set to another value of its kind: the edit finds it or says
// why not, the result has the new value, and setting the old text back gives the first text.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/conf.h"
#include "base/conf_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what, const char *key)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, key);
    abort();
}

// What the tree says now at prefix.name, in buf.
static bool value(const char *text, const char *prefix, const char *name, char *buf, size_t size)
{
    struct conf *c = NULL;
    if (conf_open_text("fuzz.cfg", text, &c, NULL) < 0)
        return false;
    bool ok = conf_text(conf_child(conf_root(c), prefix), name, -1, buf, size) != NULL;
    conf_close(c);
    return ok;
}

static void edit(const char *text, const char *prefix, const char *name)
{
    char key[256], now[64];
    struct conf_edit *x = NULL;
    struct err e = {0};
    if (strlen(prefix) + strlen(name) > 200 || conf_edit_open_text("fuzz.cfg", text, &x, &e) < 0)
        return;
    snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", name);
    int rc = conf_edit_set(x, key, "4711", "a comment", &e);
    if (rc == 0) {
        require(value(conf_edit_text(x), prefix, name, now, sizeof now), "lost", key);
        require(!strcmp(now, "4711"), "another value was set", key);
    } else {
        require(e.msg[0] && !strcmp(conf_edit_text(x), text), "refused, but changed", key);
    }
    conf_edit_close(x);
}

static void walk(const char *text, const struct conf_node *n, const char *prefix, int *left)
{
    const char *names[16];
    int total = conf_keys(n, names, 16);
    for (int i = 0; i < total && i < 16 && *left > 0; i++) {
        char key[256], old[256];
        const struct conf_node *child = conf_child(n, names[i]);
        snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", names[i]);
        if (child) {
            walk(text, child, key, left);
        } else if (conf_text(n, names[i], -1, old, sizeof old) && *old != '[') {
            edit(text, prefix, names[i]);
            --*left;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *c = NULL;
    char *text = malloc(size + 1);
    int left = 8;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (conf_open_text("fuzz.cfg", text, &c, NULL) == 0) {
        walk(text, conf_root(c), "", &left);
        conf_close(c);
    }
    free(text);
    return 0;
}
