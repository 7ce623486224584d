// SPDX-License-Identifier: GPL-3.0-or-later
// The scheduler's side of explore/remote.h for Slurm: sbatch, squeue, scancel.
//
//     sbatch    one job array per round; --requeue lets Slurm restart the tasks of a lost node, in
//               the same store, where they find what they had finished
//     squeue    who still runs. Not sacct, which needs a database that small clusters lack
//     done-R-I  a file that task I leaves when it has ended well: how many are done is known even
//               while slurmctld restarts, and a round whose tasks are all done has ended, even
//               where Slurm still waits for a lost node
//
// The number of the array is kept in FOLDER/job: who starts again after a crash of the coordinator
// ends what it left running before taking its results. A task that is held after a failed launch
// would be waited for for ever; it counts as lost.
#include "cli/slurm.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cli/slurm_run.h"

// --- state

struct slurm {
    struct remote_scheduler ops;
    const struct slurm_options *o;
    char folder[PATH_MAX], here[PATH_MAX], program[PATH_MAX], name[80];
    const char *const *command;
    int n_command, jobs;
    char job[64]; // the array's number, "": none
    bool quiet;
    int failures; // of squeue, in a row
    double pause; // seconds until squeue is asked again: little at first
    int first;    // round
};

const struct remote_scheduler *slurm_scheduler(struct slurm *s)
{
    return &s->ops;
}

const char *slurm_folder(const struct slurm *s)
{
    return s->folder;
}

int slurm_first_round(const struct slurm *s)
{
    return s->first;
}

static void note(void *user, const char *text)
{
    (void)user;
    fprintf(stderr, "partita: %s\n", text);
}

// --- files

static void file_of(const struct slurm *s, const char *what, int round, int task, char *buf,
                    size_t size)
{
    if (task < 0)
        snprintf(buf, size, "%s/%s-%d", s->folder, what, round);
    else
        snprintf(buf, size, "%s/%s-%d-%d", s->folder, what, round, task);
}

static int count_done(const struct slurm *s, const struct remote_round *r)
{
    char path[PATH_MAX + 64];
    int n = 0;
    for (int i = 0; i < r->tasks; i++) {
        file_of(s, "done", r->number, i, path, sizeof path);
        n += access(path, F_OK) == 0;
    }
    return n;
}

// A small file that the next run reads; "" removes it.
static void keep(const struct slurm *s, const char *name, const char *text)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", s->folder, name);
    if (!*text) {
        unlink(path);
        return;
    }
    FILE *f = fopen(path, "w");
    if (f) {
        fprintf(f, "%s\n", text);
        fclose(f);
    }
}

static void keep_job(const struct slurm *s)
{
    keep(s, "job", s->job);
}

// A word of a shell script.
static void quote(FILE *f, const char *text)
{
    fputc('\'', f);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", f);
        else
            fputc(*text, f);
    fputc('\'', f);
}

static int write_script(const struct slurm *s, const struct remote_round *r, const char *path,
                        struct err *e)
{
    char text[PATH_MAX + 64];
    FILE *f = fopen(path, "w");
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
    // The shell outlives a SIGTERM, so that the task is not over before the program has stopped.
    fprintf(f, "#!/bin/sh\n# Round %d: %lld points.\ntrap : TERM\ncd ", r->number,
            (long long)r->points);
    quote(f, s->here);
    fprintf(f, " || exit 1\necho \"task $SLURM_ARRAY_TASK_ID on $SLURMD_NODENAME, restarted "
               "${SLURM_RESTART_COUNT:-0} times\"\n");
    quote(f, s->program);
    for (int i = 0; i < s->n_command; i++) {
        fputc(' ', f);
        quote(f, s->command[i]);
    }
    fprintf(f, " --points ");
    quote(f, r->points_path);
    fprintf(f, " --shard \"$SLURM_ARRAY_TASK_ID/%d\" -o ", r->tasks);
    snprintf(text, sizeof text, "%s/shard-%d-", s->folder, r->number);
    quote(f, text);
    fprintf(f, "\"$SLURM_ARRAY_TASK_ID\".db && : >");
    file_of(s, "done", r->number, -1, text, sizeof text);
    quote(f, text);
    fprintf(f, "-\"$SLURM_ARRAY_TASK_ID\"\n");
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
    return 0;
}

// --- commands

// The first line of what a command complained about, without the command's own name.
static const char *complaint(const struct ran_command *r, char *buf, size_t size)
{
    const char *text = strstr(r->err, "error: ");
    text = text ? text + 7 : r->err;
    snprintf(buf, size, "%.*s", (int)strcspn(text, "\n"), text);
    if (!buf[0])
        snprintf(buf, size, "exit status %d", r->code);
    return buf;
}

static int submit(void *user, const struct remote_round *r, struct err *e)
{
    struct slurm *s = user;
    char script[PATH_MAX + 64], array[64], log[PATH_MAX + 96], name[96], partition[128], cpus[32];
    char text[240];
    const char *argv[40];
    struct ran_command ran;
    int n = 0;
    file_of(s, "job", r->number, -1, script, sizeof script);
    if (write_script(s, r, script, e) < 0)
        return e->code;
    snprintf(array, sizeof array, "%d", r->number);
    keep(s, "round", array);
    snprintf(array, sizeof array, "--array=0-%d", r->tasks - 1);
    snprintf(log, sizeof log, "--output=%s/log-%d-%%a.txt", s->folder, r->number);
    snprintf(name, sizeof name, "--job-name=%s", s->name);
    snprintf(cpus, sizeof cpus, "--cpus-per-task=%d", s->jobs);
    const char *const always[] = {"sbatch", "--parsable", "--requeue", "--open-mode=append",
                                  array,    log,          name,        cpus};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        argv[n++] = always[i];
    if (s->o->partition) {
        snprintf(partition, sizeof partition, "--partition=%.100s", s->o->partition);
        argv[n++] = partition;
    }
    for (int i = 0; i < s->o->n_args; i++)
        argv[n++] = s->o->args[i];
    argv[n++] = script;
    argv[n] = NULL;
    if (slurm_run(argv, &ran, e) < 0)
        return e->code;
    int rc = 0;
    if (ran.code != 0 || !isdigit((unsigned char)ran.out[0]))
        rc = err_set(e, ERR_DEVICE, "sbatch refused the job: %s",
                     complaint(&ran, text, sizeof text));
    else // "NUMBER" or "NUMBER;CLUSTER"
        snprintf(s->job, sizeof s->job, "%.*s", (int)strcspn(ran.out, ";\n"), ran.out);
    ran_command_free(&ran);
    keep_job(s);
    s->failures = 0;
    s->pause = 0.1;
    if (rc == 0 && !s->quiet)
        fprintf(stderr, "round %d: %lld points, job %s with %d tasks\n", r->number,
                (long long)r->points, s->job, r->tasks);
    return rc;
}

struct queue {
    int running, pending, held;
};

// What squeue says about the array; negative when it cannot be asked now.
static int ask_queue(const struct slurm *s, struct queue *q)
{
    const char *const argv[] = {"squeue", "-h", "-r", "-j", s->job, "-o", "%T %r", NULL};
    struct ran_command ran;
    struct err e = {0};
    char *save = NULL;
    *q = (struct queue){0};
    if (slurm_run(argv, &ran, &e) < 0)
        return -1;
    // A job that ended some minutes ago is forgotten.
    bool gone = ran.code != 0 && strstr(ran.err, "Invalid job id");
    int rc = ran.code == 0 || gone ? 0 : -1;
    for (char *l = strtok_r(ran.out, "\n", &save); l && rc == 0; l = strtok_r(NULL, "\n", &save)) {
        bool pending = !strncmp(l, "PENDING", 7);
        bool held = pending && (strstr(l, "held") || strstr(l, "Held"));
        q->held += held;
        q->pending += pending && !held;
        q->running += !pending;
    }
    ran_command_free(&ran);
    return rc;
}

static void sleep_s(double s)
{
    struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
    nanosleep(&t, NULL); // a signal wakes it: that is wanted
}

static void scancel(const struct slurm *s)
{
    const char *const argv[] = {"scancel", s->job, NULL};
    struct ran_command ran;
    struct err e = {0};
    if (slurm_run(argv, &ran, &e) >= 0)
        ran_command_free(&ran);
}

static void show(const struct slurm *s, const struct remote_round *r, int done,
                 const struct queue *q)
{
    if (!s->quiet && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[Kround %d: %d of %d tasks done, %d running, %d waiting", r->number,
                done, r->tasks, q->running, q->pending + q->held);
}

static int wait_round(void *user, const struct remote_round *r, struct err *e)
{
    struct slurm *s = user;
    struct queue q;
    int done = count_done(s, r);
    if (done == r->tasks)
        goto ended;
    if (ask_queue(s, &q) < 0) {
        // slurmctld may be restarting; it comes back, or the user presses Ctrl-C.
        if (++s->failures == 5)
            note(NULL, "squeue does not answer; still trying");
        q = (struct queue){.running = 1};
    } else {
        s->failures = 0;
    }
    show(s, r, done, &q);
    if (q.running + q.pending == 0) {
        // Files may take a moment to be seen from here.
        for (int i = 0; i < 5 && count_done(s, r) < r->tasks - q.held; i++)
            sleep_s(0.2);
        if (q.held) {
            note(NULL, "tasks are held after a failed start; they count as lost");
            scancel(s);
        }
        goto ended;
    }
    sleep_s(s->pause);
    s->pause = s->pause * 1.5 < s->o->poll_s ? s->pause * 1.5 : s->o->poll_s;
    (void)e;
    return 1;
ended:
    if (!s->quiet && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    s->job[0] = 0;
    keep_job(s);
    return 0;
}

// Until the job is gone, at most half a minute: a lost node may never say so.
static void cancel(void *user, const struct remote_round *r)
{
    struct slurm *s = user;
    struct queue q;
    (void)r;
    if (!s->job[0])
        return;
    scancel(s);
    for (int i = 0; i < 60 && (ask_queue(s, &q) < 0 || q.running + q.pending + q.held); i++)
        sleep_s(0.5);
    s->job[0] = 0;
    keep_job(s);
}

// --- opening

// Rounds are numbered on from an earlier run: a task of it that still lives somewhere must not
// write where ours does.
static int last_round(const struct slurm *s)
{
    char path[PATH_MAX + 64];
    int n = 0;
    snprintf(path, sizeof path, "%s/round", s->folder);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%d", &n) != 1)
        n = 0;
    if (f)
        fclose(f);
    return n > 0 && n < 1000000 ? n : 0;
}

static void end_leftover(struct slurm *s)
{
    char path[PATH_MAX + 64], text[160];
    struct queue q;
    snprintf(path, sizeof path, "%s/job", s->folder);
    FILE *f = fopen(path, "r");
    if (!f)
        return;
    if (fscanf(f, "%63[0-9_]", s->job) == 1 && ask_queue(s, &q) == 0 &&
        q.running + q.pending + q.held) {
        snprintf(text, sizeof text, "ending job %s of an earlier run", s->job);
        note(NULL, text);
        cancel(s, NULL);
    }
    fclose(f);
    s->job[0] = 0;
    keep_job(s);
}

int slurm_open(const struct slurm_options *o, const char *store, const char *name, int jobs,
               const char *const *command, int n_command, bool quiet, struct slurm **out,
               struct err *e)
{
    struct slurm *s = calloc(1, sizeof *s);
    char folder[PATH_MAX];
    if (!s)
        abort();
    s->o = o;
    s->command = command;
    s->n_command = n_command;
    s->jobs = jobs < 1 ? 1 : jobs;
    s->quiet = quiet;
    s->ops = (struct remote_scheduler){submit, wait_round, cancel, note, s};
    snprintf(s->name, sizeof s->name, "partita-%.60s", name);
    snprintf(folder, sizeof folder, "%.*s.slurm", PATH_MAX - 16, store);
    ssize_t n = readlink("/proc/self/exe", s->program, sizeof s->program - 1);
    // Every path that a task sees is absolute: it starts somewhere else.
    if (n <= 0 || !getcwd(s->here, sizeof s->here) ||
        (mkdir(folder, 0777) < 0 && errno != EEXIST) || !realpath(folder, s->folder)) {
        err_at(e, ERR_IO, folder, 0, NULL, "%s", strerror(errno));
        free(s);
        return ERR_IO;
    }
    if (strlen(s->folder) > 300) { // names of files are added, and kept in fixed room
        err_at(e, ERR_IO, folder, 0, NULL, "the path is too long");
        free(s);
        return ERR_IO;
    }
    end_leftover(s);
    s->first = last_round(s) + 1;
    *out = s;
    return 0;
}

// Of our own making; not the stores of tasks, but the lock of one that died before it had a store.
static bool is_ours(const char *name)
{
    static const char *const ours[] = {"done-", "log-", "job", "points-", "round"};
    size_t n = strlen(name);
    if (!strncmp(name, "shard-", 6))
        return n > 5 && !strcmp(name + n - 5, "-lock");
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (!strncmp(name, ours[i], strlen(ours[i])))
            return true;
    return false;
}

// Only what carries our names: the folder may hold something else.
static void clean(const struct slurm *s)
{
    struct dirent *d;
    DIR *dir = opendir(s->folder);
    while (dir && (d = readdir(dir)))
        if (is_ours(d->d_name))
            unlinkat(dirfd(dir), d->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(s->folder);
}

void slurm_close(struct slurm *s, bool done)
{
    if (s && done)
        clean(s);
    free(s);
}
