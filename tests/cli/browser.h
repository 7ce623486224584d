// SPDX-License-Identifier: GPL-3.0-or-later
// A headless Chromium, spoken to over two pipes in the DevTools protocol: JSON messages that end
// with a zero byte. Whatever the page does wrong (an exception, an error in the console, a request
// over the network) is counted.
#ifndef TESTS_CLI_BROWSER_H
#define TESTS_CLI_BROWSER_H

#include <poll.h>
#include <signal.h>
#include "tests/cli/cli_util.h"

enum { BROWSER_WAIT_MS = 120000 };

struct browser {
    pid_t pid;
    int to, from;
    int id;
    char *buf;
    size_t n, room;
    char session[80];
    int errors, requests;
    char what[400]; // the last error
};

static inline bool browser_there(char *path, size_t size)
{
    static const char *const names[] = {"chromium", "chromium-browser", "google-chrome"};
    const char *dirs = getenv("PATH");
    for (const char *d = dirs ? dirs : ""; *d; d += strcspn(d, ":"), d += *d == ':')
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            snprintf(path, size, "%.*s/%s", (int)strcspn(d, ":"), d, names[i]);
            if (access(path, X_OK) == 0)
                return true;
        }
    return false;
}

// The next message, or NULL when none comes.
static inline json_t *browser_read(struct browser *b)
{
    json_error_t e;
    for (;;) {
        char *end = b->n ? memchr(b->buf, 0, b->n) : NULL;
        if (end) {
            json_t *j = json_loadb(b->buf, (size_t)(end - b->buf), 0, &e);
            b->n -= (size_t)(end - b->buf) + 1;
            memmove(b->buf, end + 1, b->n);
            return j;
        }
        struct pollfd p = {.fd = b->from, .events = POLLIN};
        if (b->room - b->n < 65536) {
            b->room += 1 << 20;
            b->buf = realloc(b->buf, b->room);
            if (!b->buf)
                abort();
        }
        if (poll(&p, 1, BROWSER_WAIT_MS) <= 0)
            return NULL;
        ssize_t got = read(b->from, b->buf + b->n, b->room - b->n);
        if (got <= 0)
            return NULL;
        b->n += (size_t)got;
    }
}

static inline const char *browser_text(const json_t *j, const char *a, const char *c)
{
    const char *s = json_string_value(json_object_get(json_object_get(j, a), c));
    return s ? s : "";
}

static inline void browser_event(struct browser *b, const json_t *m)
{
    const char *method = json_string_value(json_object_get(m, "method"));
    const json_t *p = json_object_get(m, "params");
    if (!method)
        return;
    bool console = !strcmp(method, "Runtime.consoleAPICalled") &&
                   !strcmp(json_string_value(json_object_get(p, "type")), "error");
    bool entry =
        !strcmp(method, "Log.entryAdded") && !strcmp(browser_text(p, "entry", "level"), "error");
    if (console || entry || !strcmp(method, "Runtime.exceptionThrown")) {
        char *all = json_dumps(p, JSON_COMPACT);
        b->errors++;
        snprintf(b->what, sizeof b->what, "%s", all ? all : method);
        free(all);
    }
    if (!strcmp(method, "Network.requestWillBeSent")) {
        const char *url = browser_text(p, "request", "url");
        b->requests +=
            strncmp(url, "file:", 5) && strncmp(url, "data:", 5) && strncmp(url, "blob:", 5);
    }
}

// Sends a command and waits for its answer; NULL: the browser failed. `params` is taken.
static inline json_t *browser_call(struct browser *b, const char *method, json_t *params)
{
    json_t *m = json_pack("{s:i, s:s, s:o}", "id", ++b->id, "method", method, "params",
                          params ? params : json_object());
    if (b->session[0])
        json_object_set_new(m, "sessionId", json_string(b->session));
    char *text = json_dumps(m, JSON_COMPACT);
    size_t n = strlen(text) + 1;
    bool sent = write(b->to, text, n) == (ssize_t)n;
    free(text);
    json_decref(m);
    while (sent && (m = browser_read(b))) {
        json_t *id = json_object_get(m, "id");
        if (id && json_integer_value(id) == b->id) {
            json_t *r = json_incref(json_object_get(m, "result"));
            if (!r)
                test_note("%s: %s", method, browser_text(m, "error", "message"));
            json_decref(m);
            return r;
        }
        browser_event(b, m);
        json_decref(m);
    }
    test_note("%s: the browser does not answer", method);
    return NULL;
}

static inline void browser_do(struct browser *b, const char *method, json_t *params)
{
    json_t *r = browser_call(b, method, params);
    CHECK(r != NULL);
    json_decref(r);
}

static inline void browser_close(struct browser *b)
{
    if (b->pid > 0) {
        b->session[0] = 0;
        json_decref(browser_call(b, "Browser.close", NULL));
        close(b->to);
        close(b->from);
        for (int i = 0; i < 100 && waitpid(b->pid, NULL, WNOHANG) == 0; i++) {
            if (i == 99)
                kill(b->pid, SIGKILL);
            usleep(50000);
        }
    }
    free(b->buf);
    *b = (struct browser){.pid = 0};
}

static inline bool browser_open(struct browser *b)
{
    char path[1024], profile[600];
    int in[2], out[2];
    *b = (struct browser){.pid = 0};
    if (!browser_there(path, sizeof path) || pipe(in) < 0 || pipe(out) < 0)
        return false;
    snprintf(profile, sizeof profile, "--user-data-dir=%s/profile", test_tmpdir());
    signal(SIGPIPE, SIG_IGN);
    fflush(NULL);
    b->pid = fork();
    if (b->pid == 0) {
        int from = fcntl(in[0], F_DUPFD, 10), to = fcntl(out[1], F_DUPFD, 10);
        int null = open("/dev/null", O_RDWR);
        dup2(from, 3);
        dup2(to, 4);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        execl(path, path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
              "--disable-background-networking", "--disable-component-update", "--disable-sync",
              "--disable-dev-shm-usage", "--remote-debugging-pipe", profile, "about:blank", NULL);
        _exit(99);
    }
    close(in[0]);
    close(out[1]);
    b->to = in[1];
    b->from = out[0];
    json_t *t = browser_call(b, "Target.createTarget", json_pack("{s:s}", "url", "about:blank"));
    json_t *s = t ? browser_call(b, "Target.attachToTarget",
                                 json_pack("{s:O, s:b}", "targetId", json_object_get(t, "targetId"),
                                           "flatten", 1))
                  : NULL;
    const char *id = json_string_value(json_object_get(s, "sessionId"));
    snprintf(b->session, sizeof b->session, "%s", id ? id : "");
    json_decref(t);
    json_decref(s);
    if (!CHECK(b->session[0] != 0)) {
        browser_close(b);
        return false;
    }
    static const char *const domains[] = {"Page.enable", "Runtime.enable", "Log.enable",
                                          "Network.enable"};
    for (size_t i = 0; i < 4; i++)
        browser_do(b, domains[i], NULL);
    return true;
}

// The value of an expression in the page; NULL when it throws.
static inline json_t *browser_eval(struct browser *b, const char *expression)
{
    json_t *r = browser_call(b, "Runtime.evaluate",
                             json_pack("{s:s, s:b, s:b}", "expression", expression, "returnByValue",
                                       1, "awaitPromise", 1));
    json_t *v = json_incref(json_object_get(json_object_get(r, "result"), "value"));
    if (r && json_object_get(r, "exceptionDetails")) {
        char *all = json_dumps(json_object_get(r, "exceptionDetails"), JSON_COMPACT);
        test_note("%.200s: %.600s", expression, all);
        free(all);
        CHECK(!"an expression of the test throws");
    }
    json_decref(r);
    return v;
}

static inline double browser_number(struct browser *b, const char *expression)
{
    json_t *v = browser_eval(b, expression);
    double x = json_is_true(v)      ? 1
               : json_is_number(v)  ? json_number_value(v)
               : json_is_boolean(v) ? 0
                                    : (double)NAN;
    json_decref(v);
    return x;
}

static inline void browser_look(struct browser *b, int width, const char *scheme)
{
    browser_do(b, "Emulation.setDeviceMetricsOverride",
               json_pack("{s:i, s:i, s:i, s:b}", "width", width, "height", 900, "deviceScaleFactor",
                         1, "mobile", 0));
    browser_do(
        b, "Emulation.setEmulatedMedia",
        json_pack("{s:[{s:s, s:s}]}", "features", "name", "prefers-color-scheme", "value", scheme));
}

// Opens a page and waits until it says that it is ready.
static inline bool browser_goto(struct browser *b, const char *path)
{
    char url[4200];
    snprintf(url, sizeof url, "file://%s", path);
    browser_do(b, "Page.navigate", json_pack("{s:s}", "url", url));
    for (int i = 0; i < 1200; i++) {
        if (browser_number(b, "Boolean(window.partita && window.partita.ready)") == 1)
            return true;
        usleep(50000);
    }
    test_note("the page does not get ready: %s", b->what);
    return false;
}

static inline void browser_mouse(struct browser *b, const char *type, double x, double y, bool down)
{
    browser_do(b, "Input.dispatchMouseEvent",
               json_pack("{s:s, s:f, s:f, s:s, s:i, s:i}", "type", type, "x", x, "y", y, "button",
                         down ? "left" : "none", "buttons", down ? 1 : 0, "clickCount",
                         down ? 1 : 0));
}
static inline void browser_key(struct browser *b, const char *key, int code)
{
    const char *text = !strcmp(key, "Enter") ? "\r" : "";
    browser_do(b, "Input.dispatchKeyEvent",
               json_pack("{s:s, s:s, s:s, s:i, s:s}", "type", *text ? "keyDown" : "rawKeyDown",
                         "key", key, "code", key, "windowsVirtualKeyCode", code, "text", text));
    browser_do(b, "Input.dispatchKeyEvent",
               json_pack("{s:s, s:s, s:s, s:i}", "type", "keyUp", "key", key, "code", key,
                         "windowsVirtualKeyCode", code));
}

#endif
