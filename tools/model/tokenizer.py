# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokenizer of the project's own model: SentencePiece's BPE flavour, as GGUF calls "llama".

A text becomes characters, U+2581 in the place of spaces and one in front; then, as long as any
two neighbours together are a piece, the pair whose piece has the highest score is joined (the
leftmost of equals). What is no piece in the end is spelt in byte tokens. A piece's score is
minus the rank of its merge, so this rule repeats the merges in the order they were learned.

`train` learns the merges by counting pairs. It joins letters with letters and marks with marks,
and never across a space: with that, a text can be encoded word by word, which `Encoder` does to
be quick, and the result is that of `encode` on the whole. Ids: 0 unknown, 1 begin, 2 end,
3..258 the bytes, then the merged pieces by rank, then single characters.
"""

import collections
import re

SPACE = "\u2581"
UNK, BOS, EOS = 0, 1, 2
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
RUN = re.compile(f"{SPACE}?[A-Za-z]+|{SPACE}?[^A-Za-z{SPACE}\n]+|{SPACE}")
WORD = re.compile(f"{SPACE}?[^{SPACE}]*")


class Vocab:
    """tokens: str each; scores: float each; types: int each; all indexed by token id."""

    def __init__(self, tokens, scores, types):
        self.tokens, self.scores, self.types = tokens, scores, types
        self.ids = {t: i for i, t in reversed(list(enumerate(tokens)))}

    def encode(self, text, prefix=True):
        """Token ids of `text`, without BOS."""
        text = text.replace(" ", SPACE)
        parts = list(SPACE + text if prefix and text else text)
        while True:
            best = None
            for i in range(len(parts) - 1):
                j = self.ids.get(parts[i] + parts[i + 1])
                if j is not None and (best is None or self.scores[j] > best[0]):
                    best = (self.scores[j], i)
            if best is None:
                break
            i = best[1]
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        out = []
        for part in parts:
            if part in self.ids:
                out.append(self.ids[part])
            else:
                out += [self.ids.get(f"<0x{b:02X}>", UNK) for b in part.encode()]
        return out

    def decode(self, ids, strip=True):
        """The text of `ids`; control tokens have none; one space in front goes if `strip`."""
        out = b""
        for i in ids:
            if self.types[i] == BYTE:
                out += bytes([int(self.tokens[i][3:5], 16)])
            elif self.types[i] != CONTROL:
                out += self.tokens[i].replace(SPACE, " ").encode()
        text = out.decode(errors="replace")
        return text[1:] if strip and text.startswith(" ") else text


class Encoder:
    """Vocab.encode word by word with a memory; the same ids, because no piece spans words."""

    def __init__(self, vocab):
        self.vocab, self.known = vocab, {}

    def __call__(self, text):
        out = []
        for word in WORD.findall(SPACE + text.replace(" ", SPACE)):
            if word not in self.known:
                self.known[word] = self.vocab.encode(word, prefix=False)
            out += self.known[word]
        return out


def train(texts, size):
    """A Vocab of `size` tokens from the texts."""
    runs = collections.Counter()
    for text in texts:
        runs.update(RUN.findall(SPACE + text.replace(" ", SPACE)))
    letters = sorted({c for run in runs for c in run})
    words = {run: list(run) for run in sorted(runs)}
    merges = []
    seen = set(letters)
    while 3 + 256 + len(letters) + len(merges) < size:
        pairs = collections.Counter()
        for run, parts in words.items():
            for a, b in zip(parts, parts[1:]):
                pairs[a, b] += runs[run]
        a, b = max(pairs, key=lambda p: (pairs[p], p))
        for parts in words.values():
            i = 0
            while i < len(parts) - 1:
                if parts[i] == a and parts[i + 1] == b:
                    parts[i:i + 2] = [a + b]
                i += 1
        if a + b not in seen:
            seen.add(a + b)
            merges.append(a + b)
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + merges + letters
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(merges) + len(letters))
    scores = [0.0] * 259 + [-float(i) for i in range(len(merges) + len(letters))]
    return Vocab(tokens, scores, types)
