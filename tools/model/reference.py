# SPDX-License-Identifier: GPL-3.0-or-later
"""A slow, obvious Llama in float64: the reference the engine's tokens are held against.

Reads a GGUF file back (weights dequantised, nothing else rounded), runs it one token at a time
with a key/value cache, decodes greedily, and writes one JSON object per line per prompt:

    prompt, steps          the text, and the most positions that were run
    prompt_ids             BOS and the tokens of the prompt
    next_ids               for each position the token that follows: the prompt's own as long as
                           it lasts, then the best one; ends early after EOS (id 2)
    min_top1_top2_margin   the smallest difference of the best two logits where one was chosen:
                           from the prompt's last token on
    text                   next_ids, decoded
    steps_detail[...]      for each position: pos, token in, best, its logit, second, its logit

A back end with rounded activations is to agree up to the first position whose margin is below
its error.

Only numpy is needed, and no code is shared with train.py: reader, rotation and attention are
written again, so that a mistake in one shows as nonsense in the other.

    python3 tools/model/reference.py data/partita-stories.gguf --out \\
        data/partita-stories.greedy.json
    python3 tools/model/reference.py MODEL.gguf --compare MODEL.greedy.json
"""

import argparse
import json
import os
import sys

import numpy as np

import gguf
import tokenizer

DETAIL = "steps_detail[pos,in,top1,logit1,top2,logit2]"

# (prompt, tokens to generate); the last three run up to the story's end.
PROMPTS = [
    ("", 64),
    ("Once upon a time", 64),
    ("Mabel was a", 64),
    ("Once upon a time there was a proud seal called Sven.", 64),
    ("Hugo was a proud hedgehog who lived in a workshop full of clocks and polished the spoons "
     "every day. One foggy day Hugo saw that the cart had a loose wheel. \"I can mend that,\" "
     "said Hugo. He", 64),
    ("Once upon a time there was a sleepy fox called Fergus. He lived in a railway carriage "
     "without wheels. One foggy day Fergus built a machine to boil eggs. It had seven bells. "
     "Fergus pulled the handle, and the machine hatched them.\n\"Oh dear,\" said Fergus.", 256),
    ("There was a sleepy crab called Crispin who lived in an old boot on the beach. One sunny day "
     "Pip the mouse wanted to race to the pier. \"You should know that I have never lost a race,\" "
     "said Pip.\n\"Then I will just walk,\" said Crispin. Bruno the bear said go. Pip ran like the "
     "wind, but", 256),
    ("Olga was a", 256),
]


class Model:
    def __init__(self, path):
        meta, self.w = gguf.read(path)
        if meta["general.architecture"] != "llama":
            raise ValueError(f"{path}: general.architecture is not llama")
        self.layers = meta["llama.block_count"]
        self.heads = meta["llama.attention.head_count"]
        self.kv_heads = meta.get("llama.attention.head_count_kv", self.heads)
        self.eps = meta["llama.attention.layer_norm_rms_epsilon"]
        self.head = meta["llama.embedding_length"] // self.heads
        turned = meta.get("llama.rope.dimension_count", self.head)
        theta = meta.get("llama.rope.freq_base", 10000.0)
        self.freq = theta ** (-np.arange(0, turned, 2) / turned)
        self.context = meta["llama.context_length"]
        self.bos = meta["tokenizer.ggml.bos_token_id"]
        self.eos = meta["tokenizer.ggml.eos_token_id"]
        self.vocab = tokenizer.Vocab(meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.scores"],
                                     meta["tokenizer.ggml.token_type"])
        self.out = self.w.get("output.weight", self.w["token_embd.weight"])
        self.restart()

    def restart(self):
        self.keys = [[] for _ in range(self.layers)]
        self.values = [[] for _ in range(self.layers)]

    def norm(self, x, name):
        return x / np.sqrt(np.mean(x * x) + self.eps) * self.w[name + ".weight"]

    def rope(self, x, pos):
        """x: (heads, head); turns the pairs (2i, 2i+1) of the first 2 * len(freq)."""
        x = x.copy()
        n = 2 * len(self.freq)
        cos, sin = np.cos(pos * self.freq), np.sin(pos * self.freq)
        a, b = x[:, 0:n:2].copy(), x[:, 1:n:2].copy()
        x[:, 0:n:2], x[:, 1:n:2] = a * cos - b * sin, a * sin + b * cos
        return x

    def step(self, token, pos):
        """Logits after `token` at `pos`; positions come in order from 0."""
        x = self.w["token_embd.weight"][token]
        for i in range(self.layers):
            b = f"blk.{i}."
            y = self.norm(x, b + "attn_norm")
            q = self.rope((self.w[b + "attn_q.weight"] @ y).reshape(self.heads, -1), pos)
            k = self.rope((self.w[b + "attn_k.weight"] @ y).reshape(self.kv_heads, -1), pos)
            v = (self.w[b + "attn_v.weight"] @ y).reshape(self.kv_heads, -1)
            self.keys[i].append(k)
            self.values[i].append(v)
            keys, values = np.stack(self.keys[i]), np.stack(self.values[i])
            heads = []
            for h in range(self.heads):
                g = h * self.kv_heads // self.heads
                score = keys[:, g] @ q[h] / np.sqrt(self.head)
                p = np.exp(score - score.max())
                heads.append(p / p.sum() @ values[:, g])
            x = x + self.w[b + "attn_output.weight"] @ np.concatenate(heads)
            y = self.norm(x, b + "ffn_norm")
            gate, up = self.w[b + "ffn_gate.weight"] @ y, self.w[b + "ffn_up.weight"] @ y
            x = x + self.w[b + "ffn_down.weight"] @ (gate / (1 + np.exp(-gate)) * up)
        return self.out @ self.norm(x, "output_norm")

    def greedy(self, prompt, prompt_ids, steps, stop=True):
        """One line of the reference file."""
        self.restart()
        token, following, detail = prompt_ids[0], [], []
        for pos in range(steps):
            logits = self.step(token, pos)
            second, first = np.argsort(logits, kind="stable")[-2:]
            detail.append([pos, token, int(first), round(float(logits[first]), 6),
                           int(second), round(float(logits[second]), 6)])
            token = prompt_ids[pos + 1] if pos + 1 < len(prompt_ids) else int(first)
            following.append(token)
            if stop and token == self.eos:
                break
        chosen = detail[len(prompt_ids) - 1:]
        return {
            "prompt": prompt,
            "steps": steps,
            "prompt_ids": prompt_ids,
            "next_ids": following,
            "min_top1_top2_margin": round(min(d[3] - d[5] for d in chosen), 6),
            "text": self.vocab.decode(following),
            DETAIL: detail,
        }


def compare(model, path):
    """Runs the prompts of `path` again; 0 if all tokens agree and logits within 1e-3."""
    bad = 0
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            want = json.loads(line)
            ids = [model.bos] + model.vocab.encode(want["prompt"])
            stop = len(want["next_ids"]) < want["steps"]
            got = model.greedy(want["prompt"], want["prompt_ids"], want["steps"], stop)
            off = max((abs(a[3] - b[3]) for a, b in zip(got[DETAIL], want[DETAIL] or [])), default=0)
            same = got["next_ids"] == want["next_ids"]
            print(f"line {number}: {len(got['next_ids'])} tokens {'agree' if same else 'DIFFER'}, "
                  f"logits within {off:.1e}, margin {got['min_top1_top2_margin']} "
                  f"(file: {want['min_top1_top2_margin']}), "
                  f"prompt ids {'agree' if ids == want['prompt_ids'] else 'differ'}, "
                  f"text {'agrees' if got['text'] == want['text'] else 'differs'}")
            bad += not same or off > 1e-3
    return 1 if bad else 0


def main():
    arg = argparse.ArgumentParser(description="greedy reference tokens of a GGUF model")
    arg.add_argument("model", help="GGUF file, Llama architecture, F32, F16 or Q8_0")
    arg.add_argument("--out", help="JSON lines to write")
    arg.add_argument("--compare", help="JSON lines to run again and hold against")
    arg.add_argument("--prompt", help="only continue this text, up to its end")
    arg = arg.parse_args()
    model = Model(arg.model)
    if arg.compare:
        return compare(model, arg.compare)
    if arg.prompt is not None:
        print(model.greedy(arg.prompt, [model.bos] + model.vocab.encode(arg.prompt),
                           model.context)["text"])
        return 0
    lines = []
    for prompt, count in PROMPTS:
        ids = [model.bos] + model.vocab.encode(prompt)
        got = model.greedy(prompt, ids, min(len(ids) - 1 + count, model.context))
        print(f"{len(ids)} + {len(got['next_ids']) - len(ids) + 1} tokens, "
              f"margin {got['min_top1_top2_margin']:.3f}:\n{got['text']}\n")
        lines.append(json.dumps(got) + "\n")
    if arg.out:
        with open(arg.out + ".part", "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.replace(arg.out + ".part", arg.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
