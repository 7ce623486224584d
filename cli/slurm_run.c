// SPDX-License-Identifier: GPL-3.0-or-later
// Output goes to two unnamed files and not to pipes: no deadlock, no threads, and a command that
// leaves a child behind cannot keep us waiting.
#include "cli/slurm_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *contents(FILE *f)
{
    long n = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : 0;
    char *s = calloc((size_t)(n > 0 ? n : 0) + 1, 1);
    if (!s)
        abort();
    rewind(f);
    if (n > 0 && fread(s, 1, (size_t)n, f) != (size_t)n)
        s[0] = 0;
    return s;
}

int slurm_run(const char *const *argv, struct ran_command *out, struct err *e)
{
    FILE *text[2] = {tmpfile(), tmpfile()};
    int failed[2] = {-1, -1}, why = 0, status = 0, rc = 0;
    pid_t pid = -1;
    *out = (struct ran_command){0};
    if (!text[0] || !text[1] || pipe2(failed, O_CLOEXEC) < 0 || (fflush(NULL), pid = fork()) < 0) {
        rc = err_set(e, ERR_IO, "cannot run %s: %s", argv[0], strerror(errno));
        goto close;
    }
    if (pid == 0) {
        signal(SIGINT, SIG_IGN); // Ctrl-C is for the coordinator, which still needs answers
        int null = open("/dev/null", O_RDONLY);
        if (null >= 0)
            dup2(null, 0);
        dup2(fileno(text[0]), 1);
        dup2(fileno(text[1]), 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        why = errno;
        _exit(write(failed[1], &why, sizeof why) == sizeof why ? 127 : 126);
    }
    close(failed[1]);
    failed[1] = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (read(failed[0], &why, sizeof why) == sizeof why) {
        rc = err_set(e, ERR_DEVICE, "cannot run %s: %s%s", argv[0], strerror(why),
                     why == ENOENT ? " (is Slurm installed here, and its commands in PATH?)" : "");
        goto close;
    }
    out->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    out->out = contents(text[0]);
    out->err = contents(text[1]);
close:
    for (int i = 0; i < 2; i++) {
        if (text[i])
            fclose(text[i]);
        if (failed[i] >= 0)
            close(failed[i]);
    }
    return rc;
}

void ran_command_free(struct ran_command *r)
{
    free(r->out);
    free(r->err);
    *r = (struct ran_command){0};
}
