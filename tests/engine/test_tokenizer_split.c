// SPDX-License-Identifier: GPL-3.0-or-later
// Unicode classes and UTF-8, and the pre-tokenizer rules on hand-solved texts: the regular
// expression above each rule in engine/tokenizer_split.c, applied on paper.
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>
#include "base/rng.h"
#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

// The words of a text with '|' between.
static const char *words(enum split_rule rule, const char *text)
{
    static char out[1024];
    size_t n = strlen(text), to = 0;
    struct splitter s = {.rule = rule, .text = text, .n = n};
    for (size_t at = 0, end; at < n; at = end) {
        end = split_next(&s, at);
        if (!CHECK(end > at && end <= n))
            break;
        to += (size_t)snprintf(out + to, sizeof out - to, "%s%.*s", at ? "|" : "", (int)(end - at),
                               text + at);
    }
    out[to] = '\0';
    return out;
}

static void test_rules(void)
{
    static const struct {
        const char *text, *gpt2, *llama3, *qwen2; // NULL: as the one before
    } k[] = {
        {"", "", NULL, NULL},
        {"Hello world", "Hello| world", NULL, NULL},
        {" ", " ", NULL, NULL},
        {"   ", "   ", NULL, NULL},
        {"  a", " | a", NULL, NULL},
        {"   (", "  | (", NULL, NULL},
        {"\tx", "\t|x", "\tx", NULL},
        {"\t x", "\t| x", NULL, NULL},
        {"(x)", "(|x|)", "(x|)", NULL},
        {"!!x", "!!|x", NULL, NULL},
        {"Hello, y'all! How", "Hello|,| y|'|all|!| How", "Hello|,| y|'all|!| How", NULL},
        {"I've been 'told he's", "I|'ve| been| '|told| he|'s", NULL, NULL},
        {"it'S we'Ll 'RE", "it|'|S| we|'|Ll| '|RE", "it|'S| we|'Ll| '|RE", NULL},
        {"can't I'd I'm they're'", "can|'t| I|'d| I|'m| they|'re|'", NULL, NULL},
        {"'", "'", NULL, NULL},
        {"'l", "'|l", "'l", NULL},
        {"' era", "'| era", NULL, NULL},
        {"3333333", "3333333", "333|333|3", "3|3|3|3|3|3|3"},
        {"a12 34b", "a|12| 34|b", "a|12| |34|b", "a|1|2| |3|4|b"},
        {"3.3 3..3", "3|.|3| 3|..|3", "3|.|3| |3|..|3", NULL},
        {"ied 4 ½ months", "ied| 4| ½| months", "ied| |4| |½| months", NULL},
        {"    Hello\n    Hello", "   | Hello|\n   | Hello", "   | Hello|\n|   | Hello", NULL},
        {"\n =", "\n| =", NULL, NULL},
        {"!!\n\nx", "!!|\n|\n|x", "!!\n\n|x", NULL},
        {"a\r\n b", "a|\r\n| b", NULL, NULL},
        {" \n\n\t x", " \n\n\t| x", " \n\n|\t| x", NULL},
        {"x \n", "x| \n", NULL, NULL},
        {"\n\n", "\n\n", NULL, NULL},
        {"~\r\n\n", "~|\r\n\n", "~\r\n\n", NULL},
        {"我想在apple工作1314151天～", "我想在apple工作|1314151|天|～",
         "我想在apple工作|131|415|1|天|～", "我想在apple工作|1|3|1|4|1|5|1|天|～"},
        {"нещо на", "нещо| на", NULL, NULL},
        {"កាន់", "ក|ា|ន|់", "ក|ាន|់", NULL}, // vowel signs are marks, not letters
        {" this is 🦙.cpp", " this| is| 🦙.|cpp", NULL, NULL},
        {"a\u00A0b", "a|\u00A0|b", "a|\u00A0b", NULL},
        {"a\u3000\u3000b", "a|\u3000|\u3000|b", "a|\u3000|\u3000b", NULL},
        {"\xFF\xFE x", "\xFF\xFE| x", NULL, NULL}, // what is not UTF-8 is neither letter nor space
        {"a\xE2\x82", "a|\xE2\x82", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        const char *llama3 = k[i].llama3 ? k[i].llama3 : k[i].gpt2;
        CHECK_STR(words(SPLIT_GPT2, k[i].text), k[i].gpt2);
        CHECK_STR(words(SPLIT_LLAMA3, k[i].text), llama3);
        CHECK_STR(words(SPLIT_QWEN2, k[i].text), k[i].qwen2 ? k[i].qwen2 : llama3);
    }
}

// The long text of the shared vectors, line breaks and all.
static void test_rules_on_white_space(void)
{
    const char *text = "\n \n\n \n\n\n \t \t\t \t\n  \n   \n x";
    // gpt-2: one run, which gives its last character to the x.
    CHECK_STR(words(SPLIT_GPT2, text), "\n \n\n \n\n\n \t \t\t \t\n  \n   \n| x");
    // llama-bpe: up to the last line break of the run.
    CHECK_STR(words(SPLIT_LLAMA3, text), "\n \n\n \n\n\n \t \t\t \t\n  \n   \n| x");
    CHECK_STR(words(SPLIT_LLAMA3, "\n  \t x"), "\n|  \t| x");
    CHECK_STR(words(SPLIT_QWEN2, "\n  \t 1"), "\n|  \t| |1");
}

static void test_rule_default(void)
{
    CHECK_STR(words(SPLIT_DEFAULT, "Hi, you 1234567 a-b's $5"),
              "Hi|,| you| |123|456|7| a|-|b|'|s| |$|5");
    CHECK_STR(words(SPLIT_DEFAULT, "12 3456\u0663 7"), "12| |345|6\u0663| |7");
    CHECK_STR(words(SPLIT_DEFAULT, "1\u0663234"), "1\u0663|234");
    CHECK_STR(words(SPLIT_DEFAULT, "...  x+y=\u00A9z"), "...| | x|+|y|=|\u00A9|z");
    CHECK_STR(words(SPLIT_DEFAULT, "a  "), "a|  ");
}

// Words cover the text, whatever bytes it has.
static void test_words_cover(void)
{
    struct rng *r = rng_create(4, "bytes");
    char text[200];
    for (int i = 0; i < 4000; i++) {
        size_t n = rng_below(r, sizeof text);
        for (size_t j = 0; j < n; j++)
            text[j] =
                (char)(rng_below(r, 3) ? " a1'\nL.\xC3"[rng_below(r, 8)] : (char)rng_below(r, 256));
        for (int rule = SPLIT_DEFAULT; rule <= SPLIT_QWEN2; rule++) {
            struct splitter s = {.rule = (enum split_rule)rule, .text = text, .n = n};
            size_t at = 0, steps = 0;
            while (at < n && steps++ <= n)
                at = split_next(&s, at);
            CHECK_INT(at, n);
            CHECK(steps <= n);
        }
    }
    rng_destroy(r);
}

static void test_utf8(void)
{
    char s[4];
    uint32_t back;
    int bad = 0;
    for (uint32_t cp = 0; cp <= UNICODE_MAX; cp++) {
        size_t n = unicode_encode(cp, s), expected = cp < 0x80      ? 1
                                                     : cp < 0x800   ? 2
                                                     : cp < 0x10000 ? 3
                                                                    : 4;
        bool surrogate = cp >= 0xD800 && cp <= 0xDFFF;
        size_t m = unicode_decode(s, n, &back);
        bad += n != expected ||
               (surrogate ? m != 1 || back != UNICODE_REPLACEMENT : m != n || back != cp);
    }
    CHECK_INT(bad, 0);
    static const char *const wrong[] = {
        "\x80",
        "\xBF",
        "\xC3",
        "\xC3(",
        "\xC0\x80", // overlong
        "\xC1\xBF",
        "\xE0\x9F\xBF",
        "\xE2\x82",
        "\xE2(\x82",
        "\xF0\x8F\xBF\xBF",
        "\xF0\x9F\x9A",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xF8\x88\x80\x80\x80",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_INT(unicode_decode(wrong[i], strlen(wrong[i]), &back), 1);
        CHECK_INT(back, UNICODE_REPLACEMENT);
    }
    CHECK_INT(unicode_decode("\xEF\xBF\xBD", 3, &back), 3); // a real one
}

static enum unicode_class from_table(uint32_t cp)
{
    size_t i = 0;
    while (i + 1 < unicode_table_count && unicode_table[i + 1] >> 3 <= cp)
        i++;
    return (enum unicode_class)(unicode_table[i] & 7);
}

static void test_classes(void)
{
    for (size_t i = 1; i < unicode_table_count; i++)
        CHECK(unicode_table[i] >> 3 > unicode_table[i - 1] >> 3 &&
              (unicode_table[i] & 7) != (unicode_table[i - 1] & 7));
    for (uint32_t cp = 0; cp < 0x3000; cp++)
        CHECK_INT(unicode_class(cp), from_table(cp));
    static const struct {
        uint32_t cp;
        enum unicode_class class;
    } k[] = {
        {0xAA, UNICODE_LETTER},        {0xB2, UNICODE_NUMBER},        {0xBD, UNICODE_NUMBER},
        {0xD7, UNICODE_OTHER},         {0x301, UNICODE_OTHER},        {0x430, UNICODE_LETTER},
        {0x663, UNICODE_NUMBER},       {0x1680, UNICODE_SPACE},       {0x180E, UNICODE_OTHER},
        {0x200A, UNICODE_SPACE},       {0x200B, UNICODE_OTHER},       {0x2028, UNICODE_SPACE},
        {0x2167, UNICODE_NUMBER},      {0x2581, UNICODE_OTHER},       {0x3000, UNICODE_SPACE},
        {0x3001, UNICODE_PUNCTUATION}, {0x33FF, UNICODE_OTHER},       {0x3400, UNICODE_LETTER},
        {0x4DBF, UNICODE_LETTER},      {0x4DC0, UNICODE_OTHER},       {0x9FFF, UNICODE_LETTER},
        {0xAC00, UNICODE_LETTER},      {0xD7A3, UNICODE_LETTER},      {0xD7A4, UNICODE_OTHER},
        {0xE000, UNICODE_OTHER},       {0xFF01, UNICODE_PUNCTUATION}, {0xFF5E, UNICODE_OTHER},
        {0x1F600, UNICODE_OTHER},      {0x1D7CE, UNICODE_NUMBER},     {0x20000, UNICODE_LETTER},
        {0x10FFFF, UNICODE_OTHER},     {0x110000, UNICODE_OTHER},     {0xFFFFFFFF, UNICODE_OTHER},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        if (!CHECK_INT(unicode_class(k[i].cp), k[i].class))
            test_note("U+%04X", k[i].cp);
    }
}

TESTS(engine_tokenizer_split, T(test_rules), T(test_rules_on_white_space), T(test_rule_default),
      T(test_words_cover), T(test_utf8), T(test_classes))
