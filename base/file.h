// SPDX-License-Identifier: GPL-3.0-or-later
// Files that are whole or not there: what is written goes to NAME.part, which gets its name when it
// is complete and is removed when it does not get that far. Where a file is replaced, the new one
// is on the disk before the old one goes.
//
//     struct file out;
//     if (file_begin(&out, name, e) < 0)
//         return e->code;
//     int rc = write_it(out.f, e);
//     return file_end(&out, rc, e);
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include "base/err.h"

struct file {
    FILE *f;
    char *name, *part; // part: NULL where `f` is the file itself; name: NULL for standard output
    bool replaces;     // there is a file of that name
};

// A pipe or a device is written to directly: only a file may be replaced by another one. name:
// NULL for standard output.
int file_begin(struct file *o, const char *name, struct err *e);
// Gives the file its name if rc is 0 and all was written, else there is none. Returns rc, or what
// went wrong here.
int file_end(struct file *o, int rc, struct err *e);

#endif
