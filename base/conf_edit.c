// SPDX-License-Identifier: GPL-3.0-or-later
// Values replaced in the text of a configuration.
//
// libconfig can write a tree, but not the file that it came from: comments, order and layout would
// be lost. So the text itself is edited. A scanner follows brackets and names to the value of a
// dotted key; the bytes of that value (and of the comment behind it) are exchanged, all others are
// copied.
//
// Invariant: the text is always one that conf_open_text takes; an edit that would break it is
// refused and leaves the text alone. The scanner may therefore assume a well-formed text, but it
// never leaves it, whatever it is.
#include "base/conf_edit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/conf.h"
#include "base/file.h"

enum { MAX_NESTING = 64, MAX_KEY = 256 };

struct conf_edit {
    char *name; // path, or what stands in for it
    char *text;
};

// --- finding a value

struct level {
    char bracket;  // '{', '(' or '['
    size_t prefix; // length of the path in front of its members
    int index;     // of the next element of a list
};

struct scan {
    const char *p;
    char path[MAX_KEY]; // of the value that comes next
    struct level level[MAX_NESTING];
    int depth;
};

static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"' && *p != '\n'; p++)
        p += *p == '\\' && p[1] && p[1] != '\n';
    return p + (*p == '"');
}

static const char *skip_blank(const char *p)
{
    for (;;) {
        p += strspn(p, " \t\r\n\f");
        if (*p == '#' || *p == '@' || (p[0] == '/' && p[1] == '/')) {
            p += strcspn(p, "\n");
        } else if (p[0] == '/' && p[1] == '*') {
            const char *end = strstr(p + 2, "*/");
            p = end ? end + 2 : p + strlen(p);
        } else {
            return p;
        }
    }
}

// Behind a scalar: strings that follow each other are one.
static const char *skip_scalar(const char *p)
{
    if (*p != '"') {
        size_t n = strcspn(p, " \t\r\n\f;,=(){}[]#\"");
        const char *slash = memchr(p, '/', n);
        return slash ? slash : p + n;
    }
    for (;;) {
        p = skip_string(p);
        const char *next = skip_blank(p);
        if (*next != '"')
            return p;
        p = next;
    }
}

static bool in_list(const struct scan *s)
{
    return s->depth && s->level[s->depth - 1].bracket != '{';
}

// The path of a member, or of the next element of a list.
static void enter(struct scan *s, const char *name, size_t n)
{
    struct level *top = s->depth ? &s->level[s->depth - 1] : NULL;
    size_t at = top ? top->prefix : 0;
    if (in_list(s))
        snprintf(s->path + at, sizeof s->path - at, "[%d]", top->index);
    else
        snprintf(s->path + at, sizeof s->path - at, "%s%.*s", at ? "." : "",
                 (int)(n < MAX_KEY ? n : MAX_KEY), name);
}

// The value of `key` in `text`; false when it is not there or no scalar.
static bool find(const char *text, const char *key, size_t *begin, size_t *end)
{
    struct scan s = {.p = text};
    bool value = false; // does a value come next?
    while (*(s.p = skip_blank(s.p))) {
        char c = *s.p;
        if (!value && in_list(&s) && !strchr(",)]", c)) {
            enter(&s, NULL, 0);
            value = true;
        }
        if (value && strchr("{([", c)) {
            if (s.depth == MAX_NESTING)
                return false;
            s.level[s.depth++] = (struct level){c, strlen(s.path), 0};
            value = false;
            s.p++;
        } else if (value) {
            const char *stop = skip_scalar(s.p);
            if (!strcmp(s.path, key)) {
                *begin = (size_t)(s.p - text);
                *end = (size_t)(stop - text);
                return stop > s.p;
            }
            value = false;
            s.p = stop > s.p ? stop : s.p + 1;
        } else if (strchr("})]", c)) {
            s.depth -= s.depth > 0;
            s.p++;
        } else if (isalpha((unsigned char)c) || c == '*') {
            size_t n = strcspn(s.p, " \t\r\n\f=:;,(){}[]#\"/");
            enter(&s, s.p, n);
            s.p = skip_blank(s.p + (n ? n : 1));
            value = *s.p == '=' || *s.p == ':';
            s.p += value;
        } else {
            if (c == ',' && in_list(&s))
                s.level[s.depth - 1].index++;
            s.p++;
        }
    }
    return false;
}

// The comment on the rest of a line, or its end. *foreign: a block comment stands there, which is
// left alone.
static size_t find_comment(const char *text, size_t at, bool *foreign)
{
    *foreign = false;
    for (const char *p = text + at;;) {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        *foreign = p[0] == '/' && p[1] == '*';
        if (!*p || *p == '\n' || *p == '#' || *foreign || (p[0] == '/' && p[1] == '/'))
            return (size_t)(p - text);
        p++;
    }
}

static size_t line_end(const char *text, size_t at)
{
    size_t n = at + strcspn(text + at, "\n");
    return n > at && text[n - 1] == '\r' ? n - 1 : n;
}

// --- opening

static int check(const char *name, const char *text, struct err *e)
{
    struct conf *c = NULL;
    int rc = conf_open_text(name, text, &c, e);
    if (rc == 0)
        conf_close(c);
    return rc;
}

static int open_owned(const char *name, char *text, struct conf_edit **out, struct err *e)
{
    int rc = check(name, text, e);
    struct conf_edit *x = rc == 0 ? calloc(1, sizeof *x) : NULL;
    char *copy = x ? strdup(name) : NULL;
    if (rc == 0 && !copy)
        rc = err_at(e, ERR_MEMORY, name, 0, NULL, "no memory for the configuration");
    if (rc < 0) {
        free(x);
        free(text);
        return rc;
    }
    *x = (struct conf_edit){copy, text};
    *out = x;
    return 0;
}

int conf_edit_open_text(const char *name, const char *text, struct conf_edit **out, struct err *e)
{
    char *copy = strdup(text);
    if (!copy)
        return err_at(e, ERR_MEMORY, name, 0, NULL, "no memory for the configuration");
    return open_owned(name, copy, out, e);
}

int conf_edit_open(const char *path, struct conf_edit **out, struct err *e)
{
    struct conf *c = NULL;
    char *text = NULL;
    size_t size = 0;
    int rc = conf_open(path, &c, e); // refuses what is no text, with a better message
    if (rc < 0)
        return rc;
    conf_close(c);
    FILE *f = fopen(path, "r");
    ssize_t n = f ? getdelim(&text, &size, 0, f) : -1;
    bool failed = !f || ferror(f);
    int why = errno;
    if (f)
        fclose(f);
    if (failed) {
        free(text);
        return err_at(e, ERR_IO, path, 0, NULL, "%s", strerror(why));
    }
    if (n < 0) { // an empty file
        free(text);
        return conf_edit_open_text(path, "", out, e);
    }
    return open_owned(path, text, out, e);
}

void conf_edit_close(struct conf_edit *x)
{
    if (!x)
        return;
    free(x->name);
    free(x->text);
    free(x);
}

// --- looking and changing

bool conf_edit_has(const struct conf_edit *x, const char *key)
{
    size_t begin, end;
    return find(x->text, key, &begin, &end);
}

const char *conf_edit_comment(const struct conf_edit *x, const char *key, char *buf, size_t size)
{
    size_t begin, end;
    bool foreign;
    if (size)
        buf[0] = 0;
    if (!size || !find(x->text, key, &begin, &end))
        return buf;
    size_t at = find_comment(x->text, end, &foreign), stop = line_end(x->text, end);
    if (foreign)
        return buf;
    while (at < stop && strchr("#/ \t", x->text[at]))
        at++;
    while (stop > at && isspace((unsigned char)x->text[stop - 1]))
        stop--;
    snprintf(buf, size, "%.*s", (int)(stop - at), x->text + at);
    return buf;
}

static size_t column(const char *text, size_t at)
{
    size_t n = 0;
    while (at - n > 0 && text[at - n - 1] != '\n')
        n++;
    return n;
}

static int missing(const struct conf_edit *x, const char *key, struct err *e)
{
    struct conf *c = NULL;
    struct err local;
    char group[MAX_KEY];
    const char *dot = strrchr(key, '.'), *file = x->name;
    int line = 0, rc = conf_open_text(x->name, x->text, &c, &local);
    snprintf(group, sizeof group, "%.*s", dot ? (int)(dot - key) : 0, key);
    const struct conf_node *n = rc == 0 ? conf_child(conf_root(c), group) : NULL;
    if (n)
        conf_where(n, dot ? dot + 1 : key, &file, &line);
    bool elsewhere = line && strcmp(file, x->name) != 0;
    rc = elsewhere ? err_at(e, ERR_CONFIG, x->name, 0, key, "is written in %s, line %d", file, line)
                   : err_at(e, ERR_CONFIG, x->name, 0, key, "is not a value of this file");
    conf_close(c);
    return rc;
}

int conf_edit_set(struct conf_edit *x, const char *key, const char *value, const char *comment,
                  struct err *e)
{
    size_t begin, end, size = 0;
    bool foreign;
    if (!find(x->text, key, &begin, &end))
        return missing(x, key, e);
    const char *t = x->text;
    size_t remark = find_comment(t, end, &foreign), stop = line_end(t, end), code = remark;
    if (remark > stop) // the line ends in \r\n
        remark = code = stop;
    while (code > end && (t[code - 1] == ' ' || t[code - 1] == '\t'))
        code--;
    char *text = NULL;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return err_at(e, ERR_MEMORY, x->name, 0, key, "no memory for the configuration");
    fwrite(t, 1, begin, f);
    if (value)
        fputs(value, f);
    else
        fwrite(t + begin, 1, end - begin, f);
    fwrite(t + end, 1, code - end, f);
    bool had = remark < stop, keep = foreign || !comment;
    if (keep ? had : *comment != 0) {
        size_t was = column(t, remark), now = column(t, begin) + code - end;
        now += value ? strlen(value) : end - begin;
        // Where there was no comment, or a longer value pushes it, one blank.
        fprintf(f, "%*s", had && was > now ? (int)(was - now) : remark > code || !had, "");
        if (keep)
            fwrite(t + remark, 1, stop - remark, f);
        else
            fprintf(f, "%s ", had && t[remark] == '#' ? "#" : "//");
        for (const char *p = keep ? "" : comment; *p; p++)
            fputc(iscntrl((unsigned char)*p) ? ' ' : *p, f);
    } else if (!had) {
        fwrite(t + code, 1, stop - code, f); // blanks at the end of a line are not ours
    }
    fputs(t + stop, f);
    if (fclose(f) != 0 || !text) {
        free(text);
        return err_at(e, ERR_MEMORY, x->name, 0, key, "no memory for the configuration");
    }
    int rc = check(x->name, text, e);
    if (rc < 0) {
        free(text);
        return rc;
    }
    free(x->text);
    x->text = text;
    return 0;
}

const char *conf_edit_text(const struct conf_edit *x)
{
    return x->text;
}

int conf_edit_write(const struct conf_edit *x, const char *path, struct err *e)
{
    struct file out;
    if (file_begin(&out, path, e) < 0)
        return ERR_IO;
    fputs(x->text, out.f); // the stream remembers errors
    return file_end(&out, 0, e);
}
