// SPDX-License-Identifier: GPL-3.0-or-later
// Diagnostics for people who debug, never results. Libraries call log_*; cli/ chooses the level and
// the stream. Quiet (warnings only) by default.
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdio.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_open(FILE *stream, enum log_level level);
enum log_level log_level(void);
// A passing word for somebody who waits at a terminal: nothing in a pipe or a file, nor when quiet.
void log_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
