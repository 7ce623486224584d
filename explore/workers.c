// SPDX-License-Identifier: GPL-3.0-or-later
// Processes and not threads: an evaluation that crashes, leaks or corrupts memory ends alone, and
// simulators need no locks.
//
// A worker reads points and writes metrics, both fixed-size structs below PIPE_BUF, so that a
// message is there in whole or not at all. It ends when its input does: when the parent closes the
// pipe, or dies. For that it must not hold the ends of other workers' pipes.
#include "explore/workers.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
    int64_t id;
    struct search_point p;
};

struct answer {
    int64_t id;
    struct metrics m;
};

_Static_assert(sizeof(struct job) <= PIPE_BUF && sizeof(struct answer) <= PIPE_BUF,
               "messages are atomic");

struct worker {
    pid_t pid;
    int in, out; // the parent's ends: jobs go in, answers come out
    bool busy;
    struct job job;
};

struct workers {
    const struct campaign_worker *ops;
    const void *context;
    int n;
    struct worker worker[CAMPAIGN_MAX_JOBS];
    struct sigaction old_pipe; // SIGPIPE as it was
    void *state;               // of evaluation in this process
    struct worker here;
};

static bool read_all(int fd, void *to, size_t size)
{
    ssize_t n;
    do
        n = read(fd, to, size);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)size;
}

static bool write_all(int fd, const void *from, size_t size)
{
    ssize_t n;
    do
        n = write(fd, from, size);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)size;
}

// The worker's whole life. Leaves by _exit: buffers and exit handlers belong to the parent.
static _Noreturn void serve(const struct workers *w, int in, int out)
{
    struct job j;
    struct answer a;
    signal(SIGINT, SIG_IGN); // Ctrl-C reaches the whole group; the parent decides
    signal(SIGTERM, SIG_DFL);
    void *state = w->ops->open(w->context);
    while (read_all(in, &j, sizeof j)) {
        memset(&a, 0, sizeof a);
        a.id = j.id;
        w->ops->run(state, &j.p, &a.m);
        if (!write_all(out, &a, sizeof a))
            break;
    }
    w->ops->close(state);
    _exit(0);
}

static int start(struct workers *w, struct worker *k, struct err *e)
{
    int in[2], out[2];
    if (pipe(in) < 0)
        return err_set(e, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    if (pipe(out) < 0) {
        err_set(e, ERR_IO, "cannot make a pipe: %s", strerror(errno));
        goto close_in;
    }
    fflush(NULL); // or the child's abnormal end could write our buffers a second time
    pid_t pid = fork();
    if (pid < 0) {
        err_set(e, ERR_IO, "cannot start a worker process: %s", strerror(errno));
        goto close_out;
    }
    if (pid == 0) {
        for (int i = 0; i < w->n; i++)
            if (&w->worker[i] != k && w->worker[i].pid) {
                close(w->worker[i].in);
                close(w->worker[i].out);
            }
        close(in[1]);
        close(out[0]);
        serve(w, in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    *k = (struct worker){.pid = pid, .in = in[1], .out = out[0]};
    return 0;
close_out:
    close(out[0]);
    close(out[1]);
close_in:
    close(in[0]);
    close(in[1]);
    return ERR_IO;
}

static int reap(struct worker *k)
{
    int status = 0;
    close(k->in);
    close(k->out);
    while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
        ;
    k->pid = 0;
    k->busy = false;
    return status;
}

int workers_open(int jobs, const struct campaign_worker *ops, const void *context,
                 struct workers **out, struct err *e)
{
    struct workers *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->ops = ops;
    w->context = context;
    if (jobs < 1)
        w->state = ops->open(context);
    // A worker that died is noticed when its answer is read.
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &w->old_pipe);
    for (int i = 0; i < jobs && i < CAMPAIGN_MAX_JOBS; i++) {
        w->n = i + 1;
        if (start(w, &w->worker[i], e) < 0) {
            w->n = i;
            workers_close(w);
            return ERR_IO;
        }
    }
    *out = w;
    return 0;
}

void workers_close(struct workers *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->n; i++)
        if (w->worker[i].pid)
            reap(&w->worker[i]);
    if (w->state)
        w->ops->close(w->state);
    sigaction(SIGPIPE, &w->old_pipe, NULL);
    free(w);
}

bool workers_idle(const struct workers *w)
{
    if (!w->n)
        return !w->here.busy;
    for (int i = 0; i < w->n; i++)
        if (!w->worker[i].busy)
            return true;
    return false;
}

int workers_give(struct workers *w, int64_t id, const struct search_point *p, struct err *e)
{
    struct worker *k = &w->here;
    for (int i = 0; i < w->n; i++)
        if (!w->worker[i].busy) {
            k = &w->worker[i];
            break;
        }
    if (w->n && !k->pid && start(w, k, e) < 0)
        return e->code;
    memset(&k->job, 0, sizeof k->job);
    k->job = (struct job){id, *p};
    k->busy = true;
    if (w->n)
        write_all(k->in, &k->job, sizeof k->job); // failed: the worker is dead, and so its answer
    return 0;
}

// The point of a worker that died.
static void crashed(struct worker *k, struct metrics *out)
{
    int status = reap(k);
    metrics_init(out, METRICS_CRASHED);
    if (WIFSIGNALED(status))
        snprintf(out->reason, sizeof out->reason, "the worker process died: %s",
                 strsignal(WTERMSIG(status)));
    else
        snprintf(out->reason, sizeof out->reason, "the worker process ended with status %d",
                 WEXITSTATUS(status));
}

int workers_wait(struct workers *w, int64_t *id, struct metrics *out, struct err *e)
{
    struct pollfd fd[CAMPAIGN_MAX_JOBS];
    struct worker *of[CAMPAIGN_MAX_JOBS];
    struct answer a;
    int n = 0;
    if (!w->n) {
        metrics_init(out, METRICS_OK);
        w->ops->run(w->state, &w->here.job.p, out);
        *id = w->here.job.id;
        w->here.busy = false;
        return 1;
    }
    for (int i = 0; i < w->n; i++)
        if (w->worker[i].busy) {
            fd[n] = (struct pollfd){.fd = w->worker[i].out, .events = POLLIN};
            of[n++] = &w->worker[i];
        }
    if (poll(fd, (nfds_t)n, -1) < 0)
        return errno == EINTR ? 0 : err_set(e, ERR_IO, "cannot wait: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        if (!fd[i].revents)
            continue;
        *id = of[i]->job.id;
        if (read_all(of[i]->out, &a, sizeof a)) {
            *out = a.m;
            of[i]->busy = false;
        } else {
            crashed(of[i], out);
        }
        return 1;
    }
    return 0;
}
