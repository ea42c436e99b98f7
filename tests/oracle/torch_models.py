"""samples/gpt.bm and samples/llama.bm once more, in plain PyTorch.

Written from the descriptions, not from what bmc makes of them: a model is a dictionary of
parameters under the names of the .bm file and a function of it, so that weights go in and out as
they are. Also what a training run needs beside the model: safetensors, the text's samples, the
schedule and the optimizer of the two samples.
"""
import functools
import json
import math
import struct

import numpy
import torch
import torch.nn.functional as F

# The `train` sections of both samples.
LR, BETAS, EPS, DECAY = 1e-3, (0.9, 0.95), 1e-8, 0.1
WARMUP, MIN_LR, CLIP = 20, 1e-4, 1.0


def load(path):
    """The tensors of a safetensors file of F32: header length, header, data."""
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
        data = f.read()
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", name
        begin, end = entry["data_offsets"]
        flat = numpy.frombuffer(data[begin:end], dtype="<f4")
        out[name] = torch.from_numpy(flat.reshape(entry["shape"]).copy())
    return out


def save(path, tensors):
    header, blobs, at = {}, [], 0
    for name, t in tensors.items():
        blob = t.detach().to(torch.float32).numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def count_blocks(p, prefix):
    """Blocks of a stack: the numbers behind `prefix`."""
    return 1 + max(int(name[len(prefix):].split(".")[0]) for name in p if name.startswith(prefix))


@functools.lru_cache(maxsize=None)
def causal_mask(ctx):
    """True where a query may not look."""
    return torch.ones(ctx, ctx, dtype=torch.bool).triu(1)


def attend(q, k, v, heads, kv_heads, mask):
    """q [B, T, heads * d], k and v [B, T, kv_heads * d]; head h reads keys h // (heads // kv_heads)."""
    b, t, width = q.shape
    d = width // heads
    q = q.view(b, t, heads, d).transpose(1, 2)
    k = k.view(b, t, kv_heads, d).transpose(1, 2)
    v = v.view(b, t, kv_heads, d).transpose(1, 2)
    if kv_heads != heads:
        k = k.repeat_interleave(heads // kv_heads, dim=1)
        v = v.repeat_interleave(heads // kv_heads, dim=1)
    scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(d))
    y = torch.softmax(scores.masked_fill(mask, float("-inf")), dim=-1) @ v
    return y.transpose(1, 2).reshape(b, t, width)


def gpt(p, tokens, targets, heads):
    """The loss of samples/gpt.bm: pre-norm blocks, exact GELU, tied head."""
    width = p["wte.weight"].shape[1]
    mask = causal_mask(tokens.shape[1])

    def linear(x, name):
        return F.linear(x, p[name + ".weight"], p[name + ".bias"])

    def norm(x, name):
        return F.layer_norm(x, (width,), p[name + ".weight"], p[name + ".bias"], 1e-5)

    x = F.embedding(tokens, p["wte.weight"]) + p["wpe.weight"]
    for i in range(count_blocks(p, "h.")):
        at = f"h.{i}."
        q, k, v = linear(norm(x, at + "ln_1"), at + "attn.c_attn").split(width, dim=-1)
        x = x + linear(attend(q, k, v, heads, heads, mask), at + "attn.c_proj")
        x = x + linear(F.gelu(linear(norm(x, at + "ln_2"), at + "mlp.c_fc")), at + "mlp.c_proj")
    logits = F.linear(norm(x, "ln_f"), p["wte.weight"])
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def rotate(x, heads, theta=10000.0):
    """Rotary positions, `half` layout: column i of a head turns with column i + d / 2."""
    b, t, width = x.shape
    d = width // heads
    x = x.view(b, t, heads, d)
    rate = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.arange(t, dtype=torch.float64)[:, None] * rate
    cos, sin = (f(angle).to(x.dtype)[:, None, :] for f in (torch.cos, torch.sin))
    low, high = x[..., :d // 2], x[..., d // 2:]
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1).view(b, t, width)


def llama(p, tokens, targets, heads):
    """The loss of samples/llama.bm: RMSNorm, rotary positions, SwiGLU, grouped-query attention."""
    mask = causal_mask(tokens.shape[1])
    width = p["model.embed_tokens.weight"].shape[1]
    kv_heads = p["model.layers.0.self_attn.k_proj.weight"].shape[0] * heads // width

    def linear(x, name):
        return F.linear(x, p[name + ".weight"])

    def norm(x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * p[name + ".weight"]

    x = F.embedding(tokens, p["model.embed_tokens.weight"])
    for i in range(count_blocks(p, "model.layers.")):
        at = f"model.layers.{i}."
        h = norm(x, at + "input_layernorm")
        q = rotate(linear(h, at + "self_attn.q_proj"), heads)
        k = rotate(linear(h, at + "self_attn.k_proj"), kv_heads)
        v = linear(h, at + "self_attn.v_proj")
        x = x + linear(attend(q, k, v, heads, kv_heads, mask), at + "self_attn.o_proj")
        h = norm(x, at + "post_attention_layernorm")
        gate = F.silu(linear(h, at + "mlp.gate_proj"))
        x = x + linear(gate * linear(h, at + "mlp.up_proj"), at + "mlp.down_proj")
    x = norm(x, "model.norm")
    logits = F.linear(x, p.get("lm_head.weight", p["model.embed_tokens.weight"]))
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


MODELS = {"gpt": gpt, "llama": llama}


def decay_of(model, name):
    """llama.bm takes its norms out of the weight decay, gpt.bm nothing."""
    return 0.0 if model == "llama" and "norm" in name else DECAY


def optimizer(model, p, foreach=False):
    groups = {}
    for name, t in p.items():
        groups.setdefault(decay_of(model, name), []).append(t)
    groups = [{"params": ts, "weight_decay": decay} for decay, ts in groups.items()]
    return torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS, foreach=foreach)


def rate(step, steps):
    """The learning rate of a step from 0: linear warm-up, cosine to MIN_LR at the last step."""
    if step < WARMUP:
        return LR * (step + 1) / WARMUP
    way = min((step - WARMUP) / max(steps - 1 - WARMUP, 1), 1)
    return MIN_LR + (LR - MIN_LR) * 0.5 * (1 + math.cos(math.pi * way))


def batch(text, index, ctx):
    """Sample i of a text is the bytes from i * ctx on; a target is the byte after its token."""
    rows = numpy.stack([text[i * ctx:i * ctx + ctx + 1] for i in index]).astype(numpy.int64)
    return torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy())


def read_samples(path):
    """What --log-samples wrote: the sample indices of each step."""
    with open(path) as f:
        return [json.loads(line)["samples"] for line in f]
