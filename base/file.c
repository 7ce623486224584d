// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot(const struct file *o, int why, struct err *e)
{
    return err_at(e, ERR_IO, o->name ? o->name : "standard output", 0, NULL, "cannot write: %s",
                  strerror(why));
}

static void forget(struct file *o)
{
    free(o->name);
    free(o->part);
    *o = (struct file){.f = NULL};
}

int file_begin(struct file *o, const char *name, struct err *e)
{
    struct stat s;
    *o = (struct file){.f = stdout};
    if (!name)
        return 0;
    o->replaces = stat(name, &s) == 0;
    o->name = strdup(name);
    if (!o->name ||
        ((!o->replaces || S_ISREG(s.st_mode)) && asprintf(&o->part, "%s.part", name) < 0))
        abort();
    o->f = fopen(o->part ? o->part : name, "we");
    if (o->f)
        return 0;
    int rc = cannot(o, errno, e);
    forget(o);
    return rc;
}

int file_end(struct file *o, int rc, struct err *e)
{
    errno = 0;
    bool bad = fflush(o->f) != 0 || ferror(o->f);
    if (!bad && rc == 0 && o->part && o->replaces)
        bad = fsync(fileno(o->f)) != 0;
    int why = errno ? errno : EIO;
    if (o->name && fclose(o->f) != 0 && !bad) {
        bad = true;
        why = errno;
    }
    if (rc == 0 && !bad && o->part && rename(o->part, o->name) != 0) {
        bad = true;
        why = errno;
    }
    if (rc == 0 && bad)
        rc = cannot(o, why, e);
    if (rc != 0 && o->part)
        unlink(o->part);
    forget(o);
    return rc;
}
