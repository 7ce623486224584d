// SPDX-License-Identifier: GPL-3.0-or-later
// Plots. gnuplot draws; this file writes it a script that is complete in itself: the data stand in
// the script as named blocks, so there are no files beside it and no paths inside it.
//
// Every text of the caller goes through `quoted`, so that no title can end the string that holds it
// and become a command. The script is read from standard input and the picture comes from standard
// output, which is the unfinished file: no shell, no path is ever quoted. gnuplot starts with its
// built-in defaults, so that a user's ~/.gnuplot does not change the picture.
//
// Colours are those of Okabe and Ito (Color Universal Design, 2008), which readers with any colour
// vision tell apart; lines carry marks as well, for print in grey.
#include "explore/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"

extern char **environ;

enum { WIDTH = 960, HEIGHT = 600 };
enum { LINE_TYPES = 16 };
enum { LABEL_ROOM = 60 }; // letters that stand beside each other below the bars
enum { BINARY_DECADES = 5, SHORT_DECADES = 3 };

static const char STYLE[] = "set encoding utf8\n"
                            "set linetype 1 lc rgb '#0072b2' lw 2 pt 7 ps 0.7\n"
                            "set linetype 2 lc rgb '#d55e00' lw 2 pt 5 ps 0.7\n"
                            "set linetype 3 lc rgb '#009e73' lw 2 pt 9 ps 0.8\n"
                            "set linetype 4 lc rgb '#cc79a7' lw 2 pt 13 ps 0.9\n"
                            "set linetype 5 lc rgb '#e69f00' lw 2 pt 11 ps 0.8\n"
                            "set linetype 6 lc rgb '#56b4e9' lw 2 pt 6 ps 0.8\n"
                            "set linetype 7 lc rgb '#000000' lw 2 pt 4 ps 0.7\n"
                            "set linetype 8 lc rgb '#7f7f7f' lw 2 pt 8 ps 0.8\n"
                            "set linetype 9 lc rgb '#0072b2' lw 2 pt 5 ps 0.7\n"
                            "set linetype 10 lc rgb '#d55e00' lw 2 pt 9 ps 0.8\n"
                            "set linetype 11 lc rgb '#009e73' lw 2 pt 7 ps 0.7\n"
                            "set linetype 12 lc rgb '#cc79a7' lw 2 pt 11 ps 0.8\n"
                            "set linetype 13 lc rgb '#e69f00' lw 2 pt 13 ps 0.9\n"
                            "set linetype 14 lc rgb '#56b4e9' lw 2 pt 4 ps 0.7\n"
                            "set linetype 15 lc rgb '#000000' lw 2 pt 6 ps 0.7\n"
                            "set linetype 16 lc rgb '#7f7f7f' lw 2 pt 10 ps 0.8\n"
                            "set linetype cycle 16\n"
                            "set grid lt 1 dt 1 lw 0.8 lc rgb '#dcdcdc'\n"
                            "set border 3 lc rgb '#404040'\n"
                            "set tics nomirror out\n"
                            "set xtics noenhanced\n"
                            "set key tmargin center horizontal noenhanced\n";

// A text as a gnuplot string: in single quotes only the quote itself has a meaning.
static void quoted(FILE *f, const char *text)
{
    fputc('\'', f);
    for (const char *c = text ? text : ""; *c; c++) {
        if (*c == '\'')
            fputc('\'', f);
        fputc((unsigned char)*c < ' ' ? ' ' : *c, f);
    }
    fputc('\'', f);
}

// A label inside a data block: double quotes, which know no escape, so its own become single ones.
static void label(FILE *f, const char *text)
{
    fputc('"', f);
    for (const char *c = text ? text : ""; *c; c++)
        fputc(*c == '"' ? '\'' : (unsigned char)*c < ' ' || *c == '\\' ? ' ' : *c, f);
    fputc('"', f);
}

static bool drawable(double v, bool log_axis)
{
    return isfinite(v) && (!log_axis || v > 0);
}

static bool has_points(const struct plot *p)
{
    for (int s = 0; s < p->n_series; s++)
        for (int i = 0; i < (p->label ? p->n_bars : p->series[s].n); i++)
            if (drawable(p->series[s].y[i], p->log_y) &&
                (p->label || drawable(p->series[s].x[i], p->log_x)))
                return true;
    return false;
}

static void range_of(const struct plot *p, bool x_axis, double *least, double *most)
{
    *least = INFINITY;
    *most = -INFINITY;
    for (int s = 0; s < p->n_series; s++)
        for (int i = 0; i < (p->label ? p->n_bars : p->series[s].n); i++) {
            double v = x_axis ? p->series[s].x[i] : p->series[s].y[i];
            if (drawable(v, true)) {
                *least = fmin(*least, v);
                *most = fmax(*most, v);
            }
        }
}

// Sizes are powers of two over a few decades, and read best so. Elsewhere powers of ten; on a short
// axis, which would show one or two of them, 2 and 5 are labelled as well.
static void log_axis(const struct plot *p, const char *axis, FILE *f)
{
    double least, most;
    range_of(p, *axis == 'x', &least, &most);
    double decades = log10(most / least);
    if (*axis == 'x' && decades < BINARY_DECADES) {
        fprintf(f, "set logscale x 2\nset format x '%%g'\n");
        return;
    }
    // Not to the next power: that would leave much of a picture empty. A bar of the least value
    // shows.
    fprintf(f, "set logscale %s 10\nset %srange [%.9g:%.9g]\n", axis, axis,
            least / (p->label ? 3 : 1.3), most * 1.3);
    if (decades >= SHORT_DECADES) {
        fprintf(f, "set %stics enhanced\nset format %s '10^{%%T}'\n", axis, axis);
        return;
    }
    fprintf(f, "set format %s '%%g'\n", axis);
    for (int d = (int)floor(log10(least)); d <= (int)ceil(log10(most)); d++)
        fprintf(f, "set %stics add (%.9g, %.9g)\n", axis, 2 * pow(10, d), 5 * pow(10, d));
}

// A gap is a blank line; gnuplot takes two for the end of a data set, so never write two.
static void series_data(const struct plot *p, int s, FILE *f)
{
    const struct plot_series *q = &p->series[s];
    bool gap = true;
    fprintf(f, "$s%d << END_OF_DATA\n", s);
    for (int i = 0; i < q->n; i++) {
        if (drawable(q->x[i], p->log_x) && drawable(q->y[i], p->log_y)) {
            fprintf(f, "%.17g %.17g\n", q->x[i], q->y[i]);
            gap = false;
        } else if (!gap) {
            fputc('\n', f);
            gap = true;
        }
    }
    fprintf(f, "END_OF_DATA\n");
}

static void series_script(const struct plot *p, FILE *f)
{
    const char *sep = "plot ";
    for (int s = 0; s < p->n_series; s++)
        series_data(p, s, f);
    for (int s = 0; s < p->n_series; s++) {
        bool any = false;
        for (int i = 0; i < p->series[s].n; i++)
            any |= drawable(p->series[s].x[i], p->log_x) && drawable(p->series[s].y[i], p->log_y);
        if (!any) // gnuplot refuses a block without a point
            continue;
        const struct plot_series *q = &p->series[s];
        static const char *const with[] = {"linespoints", "points", "steps", "lines"};
        fprintf(f, "%s$s%d using 1:2 with %s ", sep, s, with[q->look]);
        if (q->look == PLOT_PLAIN)
            fprintf(f, "lw 1.2 lc rgb '#000000' title ");
        else
            fprintf(f, "lt %d title ", s % LINE_TYPES + 1);
        quoted(f, q->title);
        sep = ", \\\n     ";
    }
    fputc('\n', f);
}

static void bars_script(const struct plot *p, FILE *f)
{
    size_t longest = 0;
    fprintf(f, "$bars << END_OF_DATA\n");
    for (int i = 0; i < p->n_bars; i++) {
        label(f, p->label[i]);
        for (int s = 0; s < p->n_series; s++)
            if (drawable(p->series[s].y[i], p->log_y))
                fprintf(f, " %.17g", p->series[s].y[i]);
            else
                fprintf(f, " ?");
        fputc('\n', f);
        longest = strlen(p->label[i]) > longest ? strlen(p->label[i]) : longest;
    }
    fprintf(f, "END_OF_DATA\n"
               "set datafile missing '?'\n"
               "set style data histogram\nset style histogram clustered gap 1\n"
               "set style fill solid 0.85 noborder\nset boxwidth 0.9\n"
               "set grid noxtics\n");
    if (longest * (size_t)p->n_bars > LABEL_ROOM)
        fprintf(f, "set xtics rotate by 35 right\n");
    for (int s = 0; s < p->n_series; s++) {
        fprintf(f, "%s$bars using %d:xtic(1) lt %d title ", s ? ", \\\n     " : "plot ", s + 2,
                s % 8 + 1);
        quoted(f, p->series[s].title);
    }
    fputc('\n', f);
}

enum format { FORMAT_SVG, FORMAT_PNG, FORMAT_PDF, FORMATS };
static const char *const endings[FORMATS] = {".svg", ".png", ".pdf"};

static void range(FILE *f, char axis, const double r[2])
{
    if (r[0] != 0 || r[1] != 0)
        fprintf(f, "set %crange [%.9g:%.9g]\n", axis, r[0], r[1]);
}

static void script(const struct plot *p, enum format format, FILE *f)
{
    if (format == FORMAT_PDF) // in inches: a column and a half of a paper
        fprintf(f, "set terminal pdfcairo size 6.4,4 enhanced font 'sans,11' "
                   "background '#ffffff'\n");
    else if (format == FORMAT_SVG)
        fprintf(f,
                "set terminal svg size %d,%d enhanced font 'sans-serif,15' background '#ffffff'\n",
                WIDTH, HEIGHT);
    else
        fprintf(f,
                "png = strstrt(GPVAL_TERMINALS, 'pngcairo') ? 'pngcairo' : 'png'\n"
                "set terminal @png size %d,%d enhanced font 'sans,13' background '#ffffff'\n",
                WIDTH, HEIGHT);
    fputs(STYLE, f);
    fprintf(f, "set title ");
    quoted(f, p->title);
    fprintf(f, " noenhanced\nset xlabel ");
    quoted(f, p->xlabel);
    fprintf(f, " noenhanced\nset ylabel ");
    quoted(f, p->ylabel);
    fprintf(f, " noenhanced\n");
    if (p->n_series < 2 && (!p->n_series || !p->series[0].title || !*p->series[0].title))
        fprintf(f, "set key off\n");
    if (p->log_x && !p->label)
        log_axis(p, "x", f);
    if (p->log_y)
        log_axis(p, "y", f);
    else if (!p->near)
        fprintf(f, "set yrange [*<0:*]\n"); // with the zero
    range(f, 'x', p->x_range);
    range(f, 'y', p->y_range);
    if (p->label)
        bars_script(p, f);
    else
        series_script(p, f);
}

// gnuplot with these as standard input, output and error; its exit status, or negative when there
// is none (errno says why).
static int gnuplot(int in, int out, int messages)
{
    char *const argv[] = {(char *)"gnuplot", (char *)"--default-settings", NULL};
    posix_spawn_file_actions_t a;
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_adddup2(&a, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&a, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&a, messages, STDERR_FILENO);
    int rc = posix_spawnp(&pid, argv[0], &a, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&a);
    if (rc) {
        errno = rc;
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool plot_available(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int rc = null < 0 ? -1 : gnuplot(null, null, null); // an empty script
    if (null >= 0)
        close(null);
    return rc == 0;
}

// The first line of what gnuplot had to say that is not an echo of the script.
static void first_message(FILE *f, char *out, size_t size)
{
    char line[256];
    snprintf(out, size, "no message");
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *text = strstr(line, "line ");
        if (text && strchr(text, ':')) {
            snprintf(out, size, "%s", text);
            return;
        }
    }
}

static bool ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), k = strlen(ending);
    return n > k && !strcmp(path + n - k, ending);
}

static int draw(const struct plot *p, enum format format, const char *path, FILE *out,
                struct err *e)
{
    char text[200];
    FILE *in = tmpfile(), *messages = tmpfile();
    int rc = 0;
    if (!in || !messages) {
        rc = err_at(e, ERR_IO, path, 0, NULL, "%s", strerror(errno));
    } else {
        script(p, format, in);
        fflush(in);
        rewind(in);
        int status = ferror(in) ? -1 : gnuplot(fileno(in), fileno(out), fileno(messages));
        if (status < 0 && errno == ENOENT)
            rc = err_at(e, ERR_UNSUPPORTED, path, 0, NULL,
                        "gnuplot draws the plots and is not installed (Debian: gnuplot-nox)");
        else if (status < 0)
            rc = err_at(e, ERR_IO, path, 0, NULL, "gnuplot: %s", strerror(errno));
        else if (status > 0) {
            first_message(messages, text, sizeof text);
            rc = err_at(e, ERR_IO, path, 0, NULL, "gnuplot failed (%d): %s", status, text);
        }
    }
    if (in)
        fclose(in);
    if (messages)
        fclose(messages);
    return rc;
}

static int ending_of(const char *path, enum format *out, struct err *e)
{
    int k = 0;
    while (k < FORMATS && !ends_in(path, endings[k]))
        k++;
    if (k == FORMATS)
        return err_at(e, ERR_USAGE, path, 0, NULL, "a plot's name ends in .svg, .png or .pdf");
    *out = (enum format)k;
    return 0;
}

int plot_check_path(const char *path, struct err *e)
{
    enum format format;
    return ending_of(path, &format, e);
}

static int format_of(const struct plot *p, const char *path, enum format *out, struct err *e)
{
    if (ending_of(path, out, e) < 0)
        return e->code;
    return has_points(p) ? 0 : err_at(e, ERR_USAGE, path, 0, NULL, "nothing to plot");
}

int plot_script(const struct plot *p, const char *path, FILE *f, struct err *e)
{
    enum format format;
    if (format_of(p, path, &format, e) < 0)
        return e->code;
    script(p, format, f);
    return 0;
}

// The same picture in the same bytes: a PDF says when it was made, in digits of fixed places.
static int copy_undated(FILE *from, FILE *to, const char *path, struct err *e)
{
    static const char mark[] = "/CreationDate (D:", date[] = "19700101000000";
    size_t matched = 0, left = 0;
    int c;
    rewind(from);
    while ((c = fgetc(from)) != EOF) {
        if (left)
            c = date[sizeof date - 1 - left--];
        else if (c != mark[matched])
            matched = c == mark[0];
        else if (!mark[++matched]) {
            left = sizeof date - 1;
            matched = 0;
        }
        fputc(c, to);
    }
    return ferror(from) ? err_at(e, ERR_IO, path, 0, NULL, "%s", strerror(errno)) : 0;
}

static int draw_pdf(const struct plot *p, const char *path, FILE *out, struct err *e)
{
    FILE *dated = tmpfile();
    if (!dated)
        return err_at(e, ERR_IO, path, 0, NULL, "%s", strerror(errno));
    int rc = draw(p, FORMAT_PDF, path, dated, e);
    if (rc == 0)
        rc = copy_undated(dated, out, path, e);
    fclose(dated);
    return rc;
}

int plot_write(const struct plot *p, const char *path, struct err *e)
{
    struct file out;
    enum format format;
    if (format_of(p, path, &format, e) < 0)
        return e->code;
    struct stat old;
    if (stat(path, &old) == 0 && !S_ISREG(old.st_mode))
        return err_at(e, ERR_IO, path, 0, NULL, "there is something that is not a file");
    if (file_begin(&out, path, e) < 0)
        return ERR_IO;
    int rc = format == FORMAT_PDF ? draw_pdf(p, path, out.f, e) : draw(p, format, path, out.f, e);
    return file_end(&out, rc, e);
}
