#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes configs/trace/phone.csv: prompt and output lengths of an assistant on a phone.

Three kinds of requests, mixed at random: short questions, chats that carry their history, and
texts to be summarised. Lengths are log-normal, as lengths of texts are; medians and spreads are
guesses and no measurement. The same seed gives the same file.
"""
import random

KINDS = [  # share, median and sigma (of the logarithm) of prompt and output
    (0.50, (60, 0.6), (90, 0.7)),
    (0.35, (500, 0.7), (140, 0.6)),
    (0.15, (1800, 0.4), (180, 0.4)),
]
N, LONGEST = 400, 4096


def length(rng, median, sigma, most):
    return max(4, min(most, round(median * rng.lognormvariate(0, sigma))))


def main():
    rng = random.Random(4)
    print("prompt_tokens,output_tokens")
    for _ in range(N):
        kind = rng.choices(KINDS, [k[0] for k in KINDS])[0]
        gen = length(rng, *kind[2], 1024)
        print(f"{length(rng, *kind[1], LONGEST - gen)},{gen}")


if __name__ == "__main__":
    main()
