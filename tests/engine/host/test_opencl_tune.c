// SPDX-License-Identifier: GPL-3.0-or-later
// The tuner: a product of a new size leaves a line in the cache file and the right values, a second
// device reads it and measures nothing, and a file that this version would not write is ignored and
// replaced.
//
// Skipped where no OpenCL device is installed.
#include "tests/engine/host/opencl_rig.h"

#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"

static char folder[] = "/tmp/partita-tune-XXXXXX", path[80];

static void options(char *text, size_t size, const char *tune)
{
    snprintf(text, size, "activations = \"float\"; tune = \"%s\"; tune_cache = \"%s\";", tune,
             path);
}

// Large enough to be tuned.
static void product(const char *tune)
{
    char text[200];
    options(text, sizeof text, tune);
    struct device *d = open_device(text);
    if (!d)
        return;
    matmul_case(d, &encoding_f32, 1024, 1024, 0, 0, 1024, 1, false, false);
    d->ops->close(d);
}

// The cache file in `text`; "" when there is none.
static void contents(char *text, size_t size)
{
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, size - 1, f) : 0;
    text[n] = 0;
    if (f)
        fclose(f);
}

static void put(const char *text)
{
    FILE *f = fopen(path, "w");
    if (CHECK(f)) {
        fputs(text, f);
        fclose(f);
    }
}

static void test_cache(void)
{
    char first[4096], text[4096], broken[4200];
    struct device *d = open_device(FLOAT);
    if (!d)
        return;
    d->ops->close(d);
    if (!CHECK(mkdtemp(folder)))
        return;
    snprintf(path, sizeof path, "%s/a/b/tiles.txt", folder);
    product("off");
    contents(text, sizeof text);
    CHECK_STR(text, "");
    product("auto"); // makes the folders, too
    contents(first, sizeof first);
    CHECK_HAS(first, "partita opencl tiles 2 ");
    CHECK_HAS(first, "\n0 32 1 10 10 0 ");
    CHECK_HAS(first, "\nend 1\n");

    // Nothing is measured again: the file is not written, whatever it says that is possible.
    struct stat before, after;
    CHECK_INT(stat(path, &before), 0);
    product("auto");
    CHECK_INT(stat(path, &after), 0);
    CHECK(before.st_ino == after.st_ino);
    product("force");
    CHECK_INT(stat(path, &after), 0);
    CHECK(before.st_ino != after.st_ino);

    // Cut at every line and in the middle of one, another device's, nonsense, a candidate too many.
    contents(first, sizeof first);
    char *end = strstr(first, "end 1\n");
    if (!CHECK(end))
        return;
    for (int how = 0; how < 6; how++) {
        snprintf(broken, sizeof broken, "%s", first);
        if (how == 0)
            broken[end - first] = 0;
        else if (how == 1)
            broken[end - first + 4] = 0;
        else if (how == 2)
            broken[25] = broken[25] == '0' ? '1' : '0';
        else if (how == 3)
            snprintf(broken, sizeof broken, "%.*s0 32 1 10 10 9 99 0\nend 2\n", (int)(end - first),
                     first);
        else if (how == 4)
            snprintf(broken, sizeof broken, "%sand more\n", first);
        else
            snprintf(broken, sizeof broken, "%.*send 2\n", (int)(end - first), first);
        put(broken);
        product("auto");
        contents(text, sizeof text);
        CHECK_HAS(text, "\nend 1\n");
        if (!CHECK(strcmp(text, broken) != 0))
            test_note("file %d was believed", how);
    }
    CHECK_INT(unlink(path), 0);
    snprintf(text, sizeof text, "%s/a/b", folder);
    rmdir(text);

    // A place that cannot be written is no error.
    snprintf(path, sizeof path, "/proc/partita/tiles.txt");
    product("auto");
    snprintf(text, sizeof text, "%s/a", folder);
    rmdir(text);
    rmdir(folder);
}

// Where it is free to, the tuner times buffers and images, keeps which was faster, and measures
// nothing the next time; what the options decide is kept beside it.
static void test_images(void)
{
    static const struct {
        const char *weights, *line, *image; // image: the last number of the line; NULL: either
        bool tried;
    } how[] = {{"auto", "\n4 32 0 10 10 0 ", NULL, true},
               {"image", "\n4 32 2 10 10 0 ", " 1\n", true},
               {"buffer", "\n4 32 1 10 10 0 ", " 0\n", false},
               {"auto", "\n4 32 0 10 10 0 ", NULL, false}};
    char text[4096], options[300];
    struct device *d = open_device(FLOAT);
    if (!d)
        return;
    d->ops->close(d);
    snprintf(path, sizeof path, "/tmp/partita-tune-%d.txt", (int)getpid());
    for (int i = 0; i < 4; i++) {
        FILE *log = tmpfile();
        if (!CHECK(log))
            return;
        snprintf(options, sizeof options,
                 "activations = \"float\"; lanes = 8; weights = \"%s\"; tune_cache = \"%s\";",
                 how[i].weights, path);
        d = open_device(options);
        if (!d)
            return;
        log_open(log, LOG_DEBUG);
        matmul_case(d, &encoding_q4_0, 1024, 1024, 0, 0, 1024, 1, false, false);
        log_open(stderr, LOG_WARN);
        d->ops->close(d);
        contents(text, sizeof text);
        const char *line = strstr(text, how[i].line);
        if (CHECK(line) && how[i].image) {
            const char *end = strchr(line + 1, '\n');
            CHECK(end && !strncmp(end - 2, how[i].image, 3));
        }
        rewind(log);
        bool seen = false;
        while (fgets(text, sizeof text, log))
            seen |= strstr(text, ", image: ") != NULL;
        if (!CHECK(seen == how[i].tried))
            test_note("%d: weights = %s", i, how[i].weights);
        fclose(log);
    }
    contents(text, sizeof text);
    CHECK_HAS(text, "\nend 3\n");
    unlink(path);
}

TESTS(engine_host_opencl_tune, T(test_cache), T(test_images))
