// SPDX-License-Identifier: GPL-3.0-or-later
// partita tokenize: text on standard input to token ids on one line, and back with --decode. Works
// on vocabulary-only files.
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "engine/gguf.h"
#include "engine/tokenizer.h"

struct tokenize_options {
    const char *model;
    bool decode, bos, special, json;
};

static const struct argp_option options[] = {
    {"decode", 'd', 0, 0, "token ids on standard input, text on standard output", 0},
    {"bos", 'b', 0, 0, "put the beginning-of-text token in front", 0},
    {"special", 's', 0, 0, "recognise control tokens written out in the text", 0},
    {"json", 'j', 0, 0, "as JSON", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct tokenize_options *o = state->input;
    switch (key) {
    case 'd':
        o->decode = true;
        break;
    case 'b':
        o->bos = true;
        break;
    case 's':
        o->special = true;
        break;
    case 'j':
        o->json = true;
        break;
    case ARGP_KEY_ARG:
        if (o->model)
            argp_error(state, "one file, please: found \"%s\" and \"%s\"", o->model, arg);
        o->model = arg;
        break;
    case ARGP_KEY_END:
        if (!o->model)
            argp_error(state, "which vocabulary? (a GGUF file)");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options, option, "FILE.gguf", "Text on standard input to token ids (one line), or back.",
    NULL,    NULL,   NULL};

static int read_all(char **out, size_t *n, struct err *e)
{
    size_t room = 0;
    *out = NULL;
    *n = 0;
    do {
        if (*n == room) {
            room = room ? room * 2 : 65536;
            if (!(*out = realloc(*out, room)))
                abort();
        }
        *n += fread(*out + *n, 1, room - *n, stdin);
    } while (!feof(stdin) && !ferror(stdin));
    if (ferror(stdin))
        return err_at(e, ERR_IO, "standard input", 0, NULL, "%s", strerror(errno));
    return 0;
}

static int encode(const struct tokenize_options *o, const struct tokenizer *t, const char *text,
                  size_t size)
{
    int room = (int)size + 8;
    int32_t *ids = malloc((size_t)room * sizeof *ids);
    if (!ids)
        abort();
    int n = tokenizer_encode(t, text, size, o->bos, o->special, ids, room);
    if (o->json) {
        struct json j;
        json_begin(&j, stdout, false);
        json_object_begin(&j, NULL);
        json_array_begin(&j, "tokens");
        for (int i = 0; i < n && i < room; i++)
            json_i64(&j, NULL, ids[i]);
        json_array_end(&j);
        json_object_end(&j);
        json_end(&j);
    } else {
        for (int i = 0; i < n && i < room; i++)
            printf("%s%d", i ? " " : "", (int)ids[i]);
        putchar('\n');
    }
    free(ids);
    return n < 0 ? cli_error(EXIT_USAGE, "tokenize: the text is too long") : EXIT_OK;
}

static int decode(const struct tokenize_options *o, const struct tokenizer *t, char *text,
                  size_t size)
{
    int32_t *ids = malloc((size / 2 + 1) * sizeof *ids);
    char *s = text, *out;
    int n = 0, rc = EXIT_OK, vocab = tokenizer_vocab(t);
    if (!ids)
        abort();
    for (;;) {
        s += strspn(s, " \t\r\n,[]");
        if (!*s)
            break;
        char *end;
        errno = 0;
        long id = strtol(s, &end, 10);
        if (end == s || errno || id < 0 || id >= vocab) {
            free(ids);
            return cli_error(
                EXIT_DATA, "standard input: token %d: expected an id from 0 to %d, found \"%.12s\"",
                n + 1, vocab - 1, s);
        }
        ids[n++] = (int32_t)id;
        s = end;
    }
    int length = tokenizer_decode(t, ids, n, true, NULL, 0);
    if (length < 0 || !(out = malloc((size_t)length + 1)))
        abort();
    tokenizer_decode(t, ids, n, true, out, length);
    if (o->json) {
        struct json j;
        json_begin(&j, stdout, false);
        json_object_begin(&j, NULL);
        json_str_n(&j, "text", out, (size_t)length);
        json_object_end(&j);
        json_end(&j);
    } else {
        fwrite(out, 1, (size_t)length, stdout);
    }
    free(out);
    free(ids);
    return rc;
}

int cmd_tokenize(int argc, char **argv)
{
    struct tokenize_options o = {0};
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    struct err e;
    char *text = NULL;
    size_t size = 0;
    cli_parse(&argp, argc, argv, &o);
    int rc = gguf_open(o.model, &g, &e);
    if (rc >= 0)
        rc = tokenizer_create(g, &t, &e);
    if (rc >= 0)
        rc = read_all(&text, &size, &e);
    int status = EXIT_OK;
    if (rc < 0) {
        status = cli_fail(&e);
    } else if (o.decode) {
        text = realloc(text, size + 1);
        if (!text)
            abort();
        text[size] = 0;
        status = decode(&o, t, text, size);
    } else {
        status = encode(&o, t, text, size);
    }
    free(text);
    if (t)
        tokenizer_destroy(t);
    if (g)
        gguf_close(g);
    return status;
}
