// SPDX-License-Identifier: GPL-3.0-or-later
// Looks a micro-architecture up by name (util*: not a plug-in itself).
#include "models/npu/npu.h"

#include <string.h>

const struct npu_model_ops *npu_find(const char *name, struct err *e)
{
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < npu_registry_count; i++) {
        if (!strcmp(npu_registry[i]->name, name))
            return npu_registry[i];
        if (n < 64)
            names[n++] = npu_registry[i]->name;
    }
    const char *near = err_nearest(name, names, n);
    err_at(e, ERR_CONFIG, NULL, 0, "npu.model", "there is no NPU micro-architecture '%s'%s%s%s",
           name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}
