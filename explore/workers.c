// SPDX-License-Identifier: GPL-3.0-or-later
// Processes and not threads: an evaluation that crashes, leaks or corrupts memory ends alone, and
// simulators need no locks.
//
// A worker reads points and writes metrics, both fixed-size structs below PIPE_BUF, so that a
// message is there in whole or not at all. It works on one point at a time, in the order given; up
// to DEPTH may lie in its pipe. When it dies, the first of these is the one that killed it; the
// others go to its successor. It ends when its input does, or with its parent. It must not hold the
// ends of other workers' pipes.
#include "explore/workers.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 4 };

// Points that take longer than this are given one by one: waiting behind one of them costs more
// than the pipe does.
static const double QUICK_S = 0.01;

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
    int n;       // jobs out, the oldest first
    struct job job[DEPTH];
    double since; // when the oldest was begun, as far as the parent knows
};

struct workers {
    const struct campaign_worker *ops;
    const void *context;
    double timeout_s;
    bool quick; // the last point was
    int n, turn;
    struct worker worker[CAMPAIGN_MAX_JOBS];
    struct sigaction old_pipe; // SIGPIPE as it was
    void *state;               // of evaluation in this process
    struct worker here;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

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

static void evaluate(const struct workers *w, void *state, const struct search_point *p,
                     struct metrics *out)
{
    double begin = now();
    w->ops->run(state, p, out);
    out->wall_s = now() - begin;
}

// The worker's whole life. Leaves by _exit: buffers and exit handlers belong to the parent.
static _Noreturn void serve(const struct workers *w, int in, int out)
{
    struct job j;
    struct answer a;
    signal(SIGINT, SIG_IGN);  // Ctrl-C reaches the whole group; the parent decides
    signal(SIGTERM, SIG_IGN); // a scheduler sends it to every process of a job: no crash of a point
    void *state = w->ops->open(w->context);
    while (read_all(in, &j, sizeof j)) {
        memset(&a, 0, sizeof a);
        a.id = j.id;
        evaluate(w, state, &j.p, &a.m);
        if (!write_all(out, &a, sizeof a))
            break;
    }
    w->ops->close(state);
    _exit(0);
}

static int start(struct workers *w, struct worker *k, struct err *e)
{
    int in[2], out[2];
    pid_t parent = getpid();
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
        // A point that hangs must not outlive a parent that was killed.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
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
    k->pid = pid;
    k->in = in[1];
    k->out = out[0];
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
    return status;
}

int workers_open(int jobs, double timeout_s, const struct campaign_worker *ops, const void *context,
                 struct workers **out, struct err *e)
{
    struct workers *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->ops = ops;
    w->context = context;
    w->timeout_s = timeout_s;
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
        if (w->worker[i].pid) {
            if (w->worker[i].n) // nobody will hear of these points
                kill(w->worker[i].pid, SIGKILL);
            reap(&w->worker[i]);
        }
    if (w->state)
        w->ops->close(w->state);
    sigaction(SIGPIPE, &w->old_pipe, NULL);
    free(w);
}

// The worker with the least to do.
static int freest(const struct workers *w)
{
    int best = 0;
    for (int i = 1; i < w->n; i++)
        best = w->worker[i].n < w->worker[best].n ? i : best;
    return best;
}

bool workers_ready(const struct workers *w)
{
    if (!w->n)
        return !w->here.n;
    return w->worker[freest(w)].n < (w->quick ? DEPTH : 1);
}

int workers_give(struct workers *w, int64_t id, const struct search_point *p, struct err *e)
{
    struct worker *k = w->n ? &w->worker[freest(w)] : &w->here;
    struct job *j = &k->job[k->n];
    if (w->n && !k->pid && start(w, k, e) < 0)
        return e->code;
    memset(j, 0, sizeof *j);
    *j = (struct job){id, *p};
    if (k->n++ == 0)
        k->since = now();
    if (w->n)
        write_all(k->in, j, sizeof *j); // failed: the worker is dead, and so its answer
    return 0;
}

// The oldest point of a worker is done with.
static int64_t pop(struct worker *k)
{
    int64_t id = k->job[0].id;
    memmove(&k->job[0], &k->job[1], (size_t)--k->n * sizeof k->job[0]);
    k->since = now();
    return id;
}

// The oldest point ended its worker; the rest go to a new one.
static int bury(struct workers *w, struct worker *k, bool hung, int64_t *id, struct metrics *out,
                struct err *e)
{
    int status = reap(k);
    metrics_init(out, hung ? METRICS_HUNG : METRICS_CRASHED);
    if (hung)
        snprintf(out->reason, sizeof out->reason, "not finished within the limit of %g s",
                 w->timeout_s);
    else if (WIFSIGNALED(status))
        snprintf(out->reason, sizeof out->reason, "the worker process died: %s",
                 strsignal(WTERMSIG(status)));
    else
        snprintf(out->reason, sizeof out->reason, "the worker process ended with status %d",
                 WEXITSTATUS(status));
    out->wall_s = now() - k->since;
    *id = pop(k);
    if (k->n && start(w, k, e) < 0)
        return e->code;
    for (int i = 0; i < k->n; i++)
        write_all(k->in, &k->job[i], sizeof k->job[i]);
    return 1;
}

// Seconds until the first point is overdue; HUGE_VAL without a limit.
static double patience(const struct workers *w)
{
    double left = HUGE_VAL, t = now();
    for (int i = 0; i < w->n && w->timeout_s > 0; i++)
        if (w->worker[i].n)
            left = fmin(left, w->worker[i].since + w->timeout_s - t);
    return fmax(left, 0);
}

static int wait_here(struct workers *w, int64_t *id, struct metrics *out)
{
    metrics_init(out, METRICS_OK);
    evaluate(w, w->state, &w->here.job[0].p, out);
    *id = pop(&w->here);
    return 1;
}

int workers_wait(struct workers *w, double wait_s, int64_t *id, struct metrics *out, struct err *e)
{
    struct pollfd fd[CAMPAIGN_MAX_JOBS];
    struct answer a;
    if (!w->n)
        return wait_here(w, id, out);
    for (int i = 0; i < w->n; i++)
        fd[i] = (struct pollfd){.fd = w->worker[i].n ? w->worker[i].out : -1, .events = POLLIN};
    double most = fmin(wait_s < 0 ? HUGE_VAL : wait_s, patience(w));
    int n = poll(fd, (nfds_t)w->n, most < 1e6 ? (int)ceil(most * 1e3) : -1);
    if (n < 0)
        return errno == EINTR ? 0 : err_set(e, ERR_IO, "cannot wait: %s", strerror(errno));
    for (int i = 0; w->timeout_s > 0 && i < w->n; i++)
        if (w->worker[i].n && !fd[i].revents && now() - w->worker[i].since >= w->timeout_s) {
            kill(w->worker[i].pid, SIGKILL);
            return bury(w, &w->worker[i], true, id, out, e);
        }
    for (int j = 0; n > 0 && j < w->n; j++) { // in turn, so that none waits long
        int i = (w->turn + j) % w->n;
        struct worker *k = &w->worker[i];
        if (!fd[i].revents)
            continue;
        w->turn = i + 1;
        if (!read_all(k->out, &a, sizeof a))
            return bury(w, k, false, id, out, e);
        *out = a.m;
        *id = pop(k);
        w->quick = a.m.wall_s < QUICK_S;
        return 1;
    }
    return 0;
}
