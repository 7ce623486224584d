# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the project's own model on the stories of grammar.py and writes it as GGUF in Q8_0.

The model is a Llama: RMSNorm, rotary positions on the pairs (2i, 2i+1), grouped-query
attention, SwiGLU, an output matrix of its own. It is small, and not round on purpose: two query
heads share one key head, and the feed-forward width is 11 blocks of 32, so that an engine that
only knows powers of two fails here and not at a user's.

Parameters live in a dict under their GGUF names, in the shape the file has; export is a loop.
Each story is one row: BOS, story, EOS, padding that no loss counts. Stories are drawn fresh, in
pools sorted by length to waste little padding, so no step sees the text of another again.

One thread and fixed seeds: the same machine and torch give the same file. This is the only
script here that needs torch.

    nice -n 15 /usr/bin/python3 tools/model/train.py --out data/partita-stories.gguf
"""

import argparse
import itertools
import math
import os
import random
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before torch loads it: one order of additions

import torch
import torch.nn.functional as F

import gguf
import grammar
import tokenizer

VOCAB, CONTEXT, DIM, LAYERS, HEADS, KV_HEADS, FFN = 768, 256, 128, 4, 8, 4, 352
HEAD = DIM // HEADS
THETA, EPS = 10000.0, 1e-5
SEED, SEED_VOCAB, SEED_CHECK = 2024, 7, 99


def make_params():
    """{GGUF name: parameter}, rows first."""
    gen = torch.Generator().manual_seed(SEED)
    p = {}

    def matrix(name, rows, cols, std):
        p[name + ".weight"] = torch.nn.Parameter(torch.randn(rows, cols, generator=gen) * std)

    def ones(name):
        p[name + ".weight"] = torch.nn.Parameter(torch.ones(DIM))

    std, thin = 0.05, 0.05 / math.sqrt(2 * LAYERS)
    matrix("token_embd", VOCAB, DIM, std)
    for i in range(LAYERS):
        b = f"blk.{i}."
        ones(b + "attn_norm")
        matrix(b + "attn_q", DIM, DIM, std)
        matrix(b + "attn_k", KV_HEADS * HEAD, DIM, std)
        matrix(b + "attn_v", KV_HEADS * HEAD, DIM, std)
        matrix(b + "attn_output", DIM, DIM, thin)
        ones(b + "ffn_norm")
        matrix(b + "ffn_gate", FFN, DIM, std)
        matrix(b + "ffn_up", FFN, DIM, std)
        matrix(b + "ffn_down", DIM, FFN, thin)
    ones("output_norm")
    matrix("output", VOCAB, DIM, std)
    return p


def norm(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * weight


def rope_tables():
    """cos and sin, each (CONTEXT, HEAD / 2)."""
    freq = THETA ** (-torch.arange(0, HEAD, 2).float() / HEAD)
    angle = torch.arange(CONTEXT).float()[:, None] * freq
    return angle.cos(), angle.sin()


def rope(x, cos, sin):
    """x: (batch, heads, time, HEAD); turns each pair (2i, 2i+1)."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def forward(p, ids, cos, sin):
    """ids: (batch, time) -> logits: (batch, time, VOCAB)."""
    n, t = ids.shape
    cos, sin = cos[:t], sin[:t]
    group = HEADS // KV_HEADS
    hide = torch.full((t, t), float("-inf")).triu(1)
    x = p["token_embd.weight"][ids]
    for i in range(LAYERS):
        def w(name):
            return p[f"blk.{i}.{name}.weight"]
        y = norm(x, w("attn_norm"))
        q = rope((y @ w("attn_q").T).view(n, t, HEADS, HEAD).transpose(1, 2), cos, sin)
        k = rope((y @ w("attn_k").T).view(n, t, KV_HEADS, HEAD).transpose(1, 2), cos, sin)
        v = (y @ w("attn_v").T).view(n, t, KV_HEADS, HEAD).transpose(1, 2)
        k, v = (z.repeat_interleave(group, 1) for z in (k, v))
        score = (q / math.sqrt(HEAD)) @ k.transpose(-1, -2) + hide
        y = (score.softmax(-1) @ v).transpose(1, 2).reshape(n, t, DIM)
        x = x + y @ w("attn_output").T
        y = norm(x, w("ffn_norm"))
        x = x + (F.silu(y @ w("ffn_gate").T) * (y @ w("ffn_up").T)) @ w("ffn_down").T
    return norm(x, p["output_norm.weight"]) @ p["output.weight"].T


def batches(encode, seed, size, pool=64):
    """Rows of `size` stories as (inputs, targets); targets are -1 where there is padding."""
    row = grammar.stories(seed)
    rng = random.Random(seed)
    while True:
        ids = [[tokenizer.BOS] + encode(s) + [tokenizer.EOS]
               for s in itertools.islice(row, size * pool)]
        ids = sorted((s for s in ids if len(s) <= CONTEXT + 1), key=len)
        rows = [ids[i:i + size] for i in range(0, len(ids), size)]
        rng.shuffle(rows)
        for r in rows:
            t = max(map(len, r)) - 1
            yield (torch.tensor([s[:-1] + [0] * (t + 1 - len(s)) for s in r]),
                   torch.tensor([s[1:] + [-1] * (t + 1 - len(s)) for s in r]))


def loss_of(p, batch, tables):
    logits = forward(p, batch[0], *tables)
    return F.cross_entropy(logits.flatten(0, 1), batch[1].flatten(), ignore_index=-1)


def check(p, encode, tables, count=8):
    """Mean loss in nats per token over stories no training step draws."""
    with torch.no_grad():
        row = batches(encode, SEED_CHECK, 16)
        return sum(loss_of(p, next(row), tables).item() for _ in range(count)) / count


def export(path, p, vocab):
    meta = {
        "general.architecture": "llama",
        "general.name": "partita-stories",
        "general.license": "cc0-1.0",
        "general.alignment": gguf.ALIGN,
        "general.file_type": 7,
        "general.quantization_version": 2,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": DIM,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FFN,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": EPS,
        "llama.rope.dimension_count": HEAD,
        "llama.rope.freq_base": THETA,
        "llama.vocab_size": VOCAB,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": vocab.tokens,
        "tokenizer.ggml.scores": vocab.scores,
        "tokenizer.ggml.token_type": vocab.types,
        "tokenizer.ggml.bos_token_id": tokenizer.BOS,
        "tokenizer.ggml.eos_token_id": tokenizer.EOS,
        "tokenizer.ggml.unknown_token_id": tokenizer.UNK,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": True,
    }
    gguf.write(path, meta, {name: x.detach().numpy() for name, x in p.items()})


def sample(p, vocab, tables, prompt, temperature, gen):
    ids = [tokenizer.BOS] + vocab.encode(prompt)
    with torch.no_grad():
        while len(ids) < CONTEXT and ids[-1] != tokenizer.EOS:
            logits = forward(p, torch.tensor([ids]), *tables)[0, -1]
            if temperature:
                chance = (logits / temperature).softmax(-1)
                ids.append(torch.multinomial(chance, 1, generator=gen).item())
            else:
                ids.append(logits.argmax().item())
    return vocab.decode(ids) + ("" if ids[-1] == tokenizer.EOS else " [no end]")


def main():
    arg = argparse.ArgumentParser(description="train the project's own model")
    arg.add_argument("--out", required=True, help="GGUF file to write")
    arg.add_argument("--steps", type=int, default=2000)
    arg.add_argument("--batch", type=int, default=16, help="stories per step")
    arg.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    arg.add_argument("--samples", type=int, default=6, help="stories to print at the end")
    arg = arg.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    vocab = tokenizer.train(itertools.islice(grammar.stories(SEED_VOCAB), 4000), VOCAB)
    encode = tokenizer.Encoder(vocab)
    tables = rope_tables()
    p = make_params()
    print(f"{sum(x.numel() for x in p.values())} parameters, "
          f"{len(vocab.tokens)} tokens", flush=True)
    for text in itertools.islice(grammar.stories(SEED_CHECK), 20):
        assert encode(text) == vocab.encode(text) and vocab.decode(encode(text)) == text

    opt = torch.optim.AdamW([
        {"params": [x for x in p.values() if x.ndim == 2], "weight_decay": 0.05},
        {"params": [x for x in p.values() if x.ndim == 1], "weight_decay": 0.0},
    ], lr=arg.rate, betas=(0.9, 0.98))
    row = batches(encode, SEED, arg.batch)
    start, seen = time.time(), 0
    for step in range(arg.steps):
        warm = min(1, (step + 1) / 100)
        fall = 0.5 + 0.5 * math.cos(math.pi * step / arg.steps)
        for group in opt.param_groups:
            group["lr"] = arg.rate * warm * (0.01 + 0.99 * fall)
        batch = next(row)
        seen += batch[0].numel()
        loss = loss_of(p, batch, tables)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        opt.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.4f}, {seen / (time.time() - start):.0f} "
                  f"positions/s, {time.time() - start:.0f} s", flush=True)
        if step % 1000 == 999:
            print(f"check {check(p, encode, tables):.4f}", flush=True)
    export(arg.out, p, vocab)
    print(f"check {check(p, encode, tables, 32):.4f} nats per token; wrote {arg.out}")
    gen = torch.Generator().manual_seed(SEED)
    print("greedy:", sample(p, vocab, tables, "", 0, gen), sep="\n", end="\n\n")
    for _ in range(arg.samples):
        print("at 0.8:", sample(p, vocab, tables, "", 0.8, gen), sep="\n", end="\n\n", flush=True)


if __name__ == "__main__":
    main()
