// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/log.h"

#include <stdarg.h>
#include <unistd.h>

static FILE *log_stream;
static enum log_level log_limit = LOG_WARN;

void log_open(FILE *stream, enum log_level level)
{
    log_stream = stream;
    log_limit = level;
}

enum log_level log_level(void)
{
    return log_limit;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    static const char *const name[] = {"error", "warning", "info", "debug"};
    if (!log_stream || level > log_limit)
        return;
    va_list ap;
    va_start(ap, fmt);
    flockfile(log_stream); // one message is one line, also from several threads
    fprintf(log_stream, "partita: %s: ", name[level]);
    vfprintf(log_stream, fmt, ap);
    fputc('\n', log_stream);
    funlockfile(log_stream);
    va_end(ap);
}

void log_progress(const char *fmt, ...)
{
    if (!log_stream || log_limit == LOG_ERROR || !isatty(fileno(log_stream)))
        return;
    va_list ap;
    va_start(ap, fmt);
    flockfile(log_stream);
    fputs("partita: ", log_stream);
    vfprintf(log_stream, fmt, ap);
    fputc('\n', log_stream);
    funlockfile(log_stream);
    va_end(ap);
}
