// SPDX-License-Identifier: GPL-3.0-or-later
// From files to the one text that libconfig parses.
//
// libconfig 1.5 resolves includes from the working directory, wraps integers silently, turns 1e400
// into infinity and reads `5abc = 3` as two settings. So the text is scanned here first: includes
// are expanded in place, every number token is checked, brackets and quotes are matched. The parser
// then sees a single string without includes.
//
// Invariant: line i of the merged text is exactly one line of one source file, and `lines[i - 1]`
// says which; an error in either step therefore points at what the user wrote.
#include "base/conf_internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include "base/num.h"

enum { MAX_TEXT = 4 << 20, MAX_INCLUDES = 10, MAX_NESTING = 64 };

struct bracket {
    char open;
    const char *file;
    int line;
};

struct load {
    struct conf *c;
    struct err *e;
    char *text; // growing
    size_t size, room;
    int n_lines, room_lines;
    struct bracket open[MAX_NESTING];
    int nesting;
    char key[80]; // the name most recently seen, for errors about its value
    char last;    // last significant character: '=' and ':' announce a value
};

// The scanner's position in one source file.
struct source {
    const char *file, *p;
    int line, depth;     // depth of inclusion
    const char *pending; // start of the lines that are not in the merged text yet
    int pending_line;
};

#define FAIL(l, s, ...) err_at((l)->e, ERR_CONFIG, (s)->file, (s)->line, (l)->key, __VA_ARGS__)

// --- the merged text

static int append_line(struct load *l, struct source *s, const char *text, size_t n, int line)
{
    struct conf *c = l->c;
    if (l->size + n + 2 > MAX_TEXT) {
        s->line = line;
        return FAIL(l, s, "the configuration is larger than %d MiB", MAX_TEXT >> 20);
    }
    if (l->size + n + 2 > l->room) {
        l->room = 2 * (l->size + n + 2);
        char *more = arena_alloc(&c->arena, l->room);
        if (l->size)
            memcpy(more, l->text, l->size);
        l->text = more;
    }
    if (l->n_lines == l->room_lines) {
        l->room_lines = l->room_lines ? 2 * l->room_lines : 128;
        struct conf_line *more = ARENA_NEWS(&c->arena, (size_t)l->room_lines, struct conf_line);
        if (l->n_lines)
            memcpy(more, c->lines, (size_t)l->n_lines * sizeof *more);
        c->lines = more;
    }
    memcpy(l->text + l->size, text, n);
    l->size += n;
    l->text[l->size++] = '\n';
    l->text[l->size] = 0;
    c->lines[l->n_lines++] = (struct conf_line){s->file, NULL, line};
    return 0;
}

// Appends the pending lines before `end`.
static int flush(struct load *l, struct source *s, const char *end)
{
    const char *p = s->pending;
    int line = s->pending_line;
    while (p < end) {
        const char *nl = strchr(p, '\n');
        size_t n = nl ? (size_t)(nl - p) : strlen(p);
        int rc = append_line(l, s, p, n, line++);
        if (rc)
            return rc;
        p += n + (nl ? 1 : 0);
    }
    return 0;
}

// --- numbers

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

// Length of an integer token: decimal or hexadecimal digits behind an optional sign.
static size_t integer_span(const char *p, bool *hex)
{
    size_t sign = *p == '+' || *p == '-';
    *hex = p[sign] == '0' && (p[sign + 1] == 'x' || p[sign + 1] == 'X');
    if (*hex)
        return sign + 2 + strspn(p + sign + 2, "0123456789abcdefABCDEF");
    return sign + strspn(p + sign, "0123456789");
}

static int check_integer(struct load *l, struct source *s, const char *p, size_t span, bool wide)
{
    bool hex;
    integer_span(p, &hex);
    errno = 0;
    long long v = strtoll(p, NULL, hex ? 16 : 10);
    if (errno == ERANGE)
        return FAIL(l, s, "%.*s does not fit into 64 bits", (int)span, p);
    if (!wide && (v > INT32_MAX || v < INT32_MIN))
        return FAIL(l, s, "%.*s does not fit into 32 bits; write %.*sL", (int)span, p, (int)span,
                    p);
    if (!hex && span > 1 && p[0] == '0')
        return FAIL(l, s, "%.*s has a leading zero; write it without", (int)span, p);
    return 0;
}

static int check_real(struct load *l, struct source *s, const char *p, size_t span)
{
    double v = num_parse(p);
    size_t zeros = strspn(p, "+-0.");
    bool zero = zeros >= span || p[zeros] == 'e' || p[zeros] == 'E';
    if (!isfinite(v) || (v == 0 && !zero))
        return FAIL(l, s, "%.*s is too %s for a double", (int)span, p, v == 0 ? "small" : "large");
    return 0;
}

static int scan_number(struct load *l, struct source *s)
{
    const char *p = s->p;
    bool hex;
    size_t span = integer_span(p, &hex), real = num_span(p), end = span;
    bool integer = hex || real == span;
    if (integer && p[span] == 'L')
        end += 1 + (p[span + 1] == 'L');
    else if (!integer)
        end = real;
    size_t token = end + strcspn(p + end, " \t\r\n;,=])}#");
    s->p += end;
    if (token > 64)
        return FAIL(l, s, "%.20s... has too many digits", p);
    if (token != end || end == 0 || (hex && !isxdigit((unsigned char)p[span - 1])))
        return FAIL(l, s, "'%.*s' is not a number; a value with a unit is written in quotes",
                    (int)token, p);
    return integer ? check_integer(l, s, p, span, end > span)
                   : check_real(l, s, p, span < end ? end : span);
}

// --- names, strings, brackets

static bool inside_list(const struct load *l)
{
    return l->nesting && l->open[l->nesting - 1].open != '{';
}

static int scan_name(struct load *l, struct source *s)
{
    size_t n = 0;
    while (is_word(s->p[n]) || s->p[n] == '-' || s->p[n] == '*')
        n++;
    bool boolean =
        (n == 4 && !strncasecmp(s->p, "true", 4)) || (n == 5 && !strncasecmp(s->p, "false", 5));
    bool value = l->last == '=' || l->last == ':' || inside_list(l);
    if (value && !boolean)
        return FAIL(l, s, "'%.*s' is not a value; text is written in quotes",
                    (int)(n < 40 ? n : 40), s->p);
    if (!value)
        snprintf(l->key, sizeof l->key, "%.*s", (int)(n < 79 ? n : 79), s->p);
    s->p += n;
    return 0;
}

static int scan_string(struct load *l, struct source *s)
{
    const char *p = s->p + 1;
    while (*p && *p != '"' && *p != '\n')
        p += p[0] == '\\' && p[1] && p[1] != '\n' ? 2 : 1;
    if (*p != '"')
        return FAIL(l, s, "the string is not closed on its line");
    s->p = p + 1;
    return 0;
}

static int scan_bracket(struct load *l, struct source *s)
{
    static const char open[] = "{[(", close[] = "}])";
    char c = *s->p++;
    if (strchr(open, c)) {
        if (l->nesting == MAX_NESTING)
            return FAIL(l, s, "more than %d brackets are open", MAX_NESTING);
        l->open[l->nesting++] = (struct bracket){c, s->file, s->line};
        return 0;
    }
    if (!l->nesting)
        return FAIL(l, s, "'%c' closes nothing", c);
    struct bracket b = l->open[--l->nesting];
    if (strchr(open, b.open) - open != strchr(close, c) - close)
        return FAIL(l, s, "'%c' cannot close the '%c' of %s:%d", c, b.open, b.file, b.line);
    return 0;
}

static int skip_block_comment(struct load *l, struct source *s)
{
    const char *end = strstr(s->p + 2, "*/");
    if (!end)
        return FAIL(l, s, "the comment is not closed");
    for (; s->p < end + 2; s->p++)
        s->line += *s->p == '\n';
    return 0;
}

// --- includes

static int load_file(struct load *l, const char *path, int depth, const struct source *from);
static int load_text(struct load *l, const char *file, const char *text, int depth);

static const char *beside(struct arena *a, const char *file, const char *name, size_t n)
{
    const char *slash = strrchr(file, '/');
    if (*name == '/' || !slash)
        return arena_printf(a, "%.*s", (int)n, name);
    return arena_printf(a, "%.*s%.*s", (int)(slash + 1 - file), file, (int)n, name);
}

static bool at_line_start(const struct source *s)
{
    const char *p = s->p;
    while (p > s->pending && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    return p == s->pending || p[-1] == '\n';
}

static int scan_include(struct load *l, struct source *s)
{
    l->key[0] = 0;
    if (!at_line_start(s) || strncmp(s->p, "@include", 8) != 0)
        return FAIL(l, s, "expected @include \"file\" alone on its line");
    const char *p = s->p + 8 + strspn(s->p + 8, " \t");
    size_t n = *p == '"' ? strcspn(p + 1, "\"\n") : 0;
    if (n == 0 || p[1 + n] != '"' || n > 4000)
        return FAIL(l, s, "expected @include \"file\"");
    const char *rest = p + n + 2 + strspn(p + n + 2, " \t\r");
    if (*rest && *rest != '\n' && *rest != '#' && strncmp(rest, "//", 2) != 0)
        return FAIL(l, s, "expected @include \"file\" alone on its line");
    if (s->depth == MAX_INCLUDES)
        return FAIL(l, s, "included more than %d files deep: a cycle?", MAX_INCLUDES);

    const char *line_start = s->p;
    while (line_start > s->pending && line_start[-1] != '\n')
        line_start--;
    int rc = flush(l, s, line_start);
    if (!rc)
        rc = load_file(l, beside(&l->c->arena, s->file, p + 1, n), s->depth + 1, s);
    s->p = rest + strcspn(rest, "\n");
    s->pending = s->p + (*s->p == '\n');
    s->pending_line = s->line + 1;
    return rc;
}

// --- files

static int scan_token(struct load *l, struct source *s)
{
    char c = *s->p, last = l->last;
    l->last = c;
    if (c == '"')
        return scan_string(l, s);
    if (c == '@')
        return scan_include(l, s);
    if (strchr("{}[]()", c))
        return scan_bracket(l, s);
    if (strchr("+-.0123456789", c))
        return scan_number(l, s);
    if (isalpha((unsigned char)c) || c == '*') {
        l->last = last;
        int rc = scan_name(l, s);
        l->last = c;
        return rc;
    }
    s->p++; // punctuation is the parser's business
    return 0;
}

static int load_text(struct load *l, const char *file, const char *text, int depth)
{
    struct source s = {.file = file, .p = text, .line = 1, .depth = depth};
    s.pending = text;
    s.pending_line = 1;
    int rc = 0;
    while (*s.p && !rc) {
        if (*s.p == '\n') {
            s.line++;
            s.p++;
        } else if (*s.p == ' ' || *s.p == '\t' || *s.p == '\r') {
            s.p++;
        } else if (*s.p == '#' || (s.p[0] == '/' && s.p[1] == '/')) {
            s.p += strcspn(s.p, "\n");
        } else if (s.p[0] == '/' && s.p[1] == '*') {
            rc = skip_block_comment(l, &s);
        } else {
            rc = scan_token(l, &s);
        }
    }
    return rc ? rc : flush(l, &s, s.p);
}

// Reads a whole file into the arena. `from` is the file that includes it, or NULL.
static int load_file(struct load *l, const char *path, int depth, const struct source *from)
{
    const char *blamed = from ? from->file : path;
    int line = from ? from->line : 0;
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f)
        return err_at(l->e, ERR_IO, blamed, line, NULL, "cannot open %s: %s", path,
                      strerror(errno));
    // Only a named file: a directory cannot be read, a device may never end.
    int rc = 0;
    if (fstat(fileno(f), &st) || !(S_ISREG(st.st_mode) || (!from && S_ISFIFO(st.st_mode))))
        rc = err_at(l->e, ERR_IO, blamed, line, NULL, "%s is not a regular file", path);
    char *text = rc ? NULL : malloc(MAX_TEXT + 1);
    size_t n = text ? fread(text, 1, MAX_TEXT + 1, f) : 0;
    if (!rc && !text)
        rc = err_at(l->e, ERR_MEMORY, blamed, line, NULL, "no memory to read %s", path);
    else if (!rc && ferror(f))
        rc = err_at(l->e, ERR_IO, blamed, line, NULL, "cannot read %s", path);
    else if (!rc && n > MAX_TEXT)
        rc = err_at(l->e, ERR_CONFIG, path, 0, NULL, "larger than %d MiB", MAX_TEXT >> 20);
    else if (!rc && memchr(text, 0, n))
        rc = err_at(l->e, ERR_CONFIG, path, 0, NULL, "contains a zero byte: not a text file");
    fclose(f);
    if (!rc) {
        text[n] = 0;
        rc = load_text(l, arena_strdup(&l->c->arena, path), text, depth);
    }
    free(text);
    return rc;
}

int conf_load(struct conf *c, const char *path, const char *text, struct err *e)
{
    struct load l = {.c = c, .e = e};
    int rc = text ? load_text(&l, c->path, text, 0) : load_file(&l, path, 0, NULL);
    if (rc)
        return rc;
    if (l.nesting) {
        struct bracket b = l.open[l.nesting - 1];
        return err_at(e, ERR_CONFIG, b.file, b.line, NULL, "this '%c' is never closed", b.open);
    }
    c->text = l.text ? l.text : "";
    c->n_lines = l.n_lines;
    const char *p = c->text;
    for (int i = 0; i < l.n_lines; i++) {
        c->lines[i].text = p;
        p = strchr(p, '\n') + 1;
    }
    return 0;
}

const char *conf_comment(const struct conf *c, unsigned line, char *buf, size_t size)
{
    buf[0] = 0;
    if (line == 0 || line > (unsigned)c->n_lines)
        return buf;
    const char *p = c->lines[line - 1].text, *end = strchr(p, '\n');
    bool quoted = false;
    for (; p < end; p++) {
        if (*p == '\\' && quoted)
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && (*p == '#' || (p[0] == '/' && p[1] == '/')))
            break;
    }
    while (p < end && (*p == '#' || *p == '/' || *p == ' ' || *p == '\t'))
        p++;
    while (end > p && isspace((unsigned char)end[-1]))
        end--;
    if (p < end)
        snprintf(buf, size, "%.*s", (int)(end - p), p);
    return buf;
}
