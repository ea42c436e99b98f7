#!/usr/bin/env python3
"""Trains a sample in PyTorch from weights and samples that a trainer wrote, and writes down what
came of it: the golden files of this folder, and what the second ctest compares with.

    trainer --steps 0 --save INIT
    trainer --init INIT --data TEXT --steps 30 --log-samples SAMPLES
    torch_train.py gpt --heads 4 --ctx 32 --text TEXT --init INIT --samples SAMPLES --out NAME

gives NAME.json (losses, norms, rates, samples, what is left out of the comparison),
NAME.safetensors (the last weights) and NAME.metrics.jsonl, as a trainer writes them. One thread and float32; a second run in float64 says how much
of the difference is rounding and which gradients are nothing else.
"""
import argparse
import json
import sys

import numpy
import torch

import torch_models as tm

# In exact arithmetic the gradient of an attention's key bias is zero: the bias adds q . b to all
# scores of a row, which softmax does not see. What float32 computes for it is the sum of its
# rounding errors, and AdamW divides that by its own size: a walk of full steps that no two
# programs take alike.
WHY_KEYS = "softmax is blind to what all keys share: the gradient is rounding noise alone"


def left_out(grads):
    """Ranges of elements whose float64 gradient is nonzero and yet noise, in all steps."""
    out = []
    for name, largest in grads.items():
        noise = ((largest > 0) & (largest < 1e-12)).flatten().numpy().astype(int)
        edge = numpy.flatnonzero(numpy.diff(numpy.concatenate(([0], noise, [0]))))
        for first, end in edge.reshape(-1, 2).tolist():
            out.append({"tensor": name, "first": first, "count": end - first, "why": WHY_KEYS})
    return out


def train(a, dtype):
    p = {name: t.to(dtype).requires_grad_() for name, t in tm.load(a.init).items()}
    opt = tm.optimizer(a.model, p)
    text = numpy.fromfile(a.text, dtype=numpy.uint8)
    samples = tm.read_samples(a.samples)
    run = {"loss": [], "grad_norm": [], "lr": []}
    largest = {name: torch.zeros_like(t) for name, t in p.items()}
    for step, index in enumerate(samples):
        lr = tm.rate(step, len(samples))
        for group in opt.param_groups:
            group["lr"] = lr
        opt.zero_grad(set_to_none=True)
        loss = tm.MODELS[a.model](p, *tm.batch(text, index, a.ctx), a.heads)
        loss.backward()
        for name, t in p.items():
            largest[name] = torch.maximum(largest[name], t.grad.abs())
        norm = torch.nn.utils.clip_grad_norm_(p.values(), tm.CLIP)
        opt.step()
        run["loss"].append(loss.item())
        run["grad_norm"].append(norm.item())
        run["lr"].append(lr)
    return run, p, largest, samples


def distance(p, q, skip):
    """The largest distance of an element of p and q that is not left out."""
    worst = 0.0
    for name in p:
        d = (p[name].detach().double() - q[name].detach().double()).abs().flatten()
        for s in skip:
            if s["tensor"] == name:
                d[s["first"]:s["first"] + s["count"]] = 0
        worst = max(worst, d.max().item())
    return worst


def main():
    arg = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arg.add_argument("model", choices=sorted(tm.MODELS))
    for name in ("heads", "ctx"):
        arg.add_argument("--" + name, type=int, required=True)
    for name in ("text", "init", "samples", "out"):
        arg.add_argument("--" + name, required=True)
    a = arg.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    run, p, _, samples = train(a, torch.float32)
    run64, p64, grads, _ = train(a, torch.float64)
    skip = left_out(grads)
    noise = max(abs(x - y) / y for x, y in zip(run["loss"], run64["loss"]))
    apart = distance(p, p64, skip)
    print(f"{a.model}: float32 and float64 differ by {noise:.1e} relative in a loss and {apart:.1e} in "
          f"a weight; left out: {[(s['tensor'], s['first'], s['count']) for s in skip]}")
    if noise > 2e-6 or apart > 5e-5:
        sys.exit("too much rounding for a golden run: choose another size or seed")
    tm.save(a.out + ".safetensors", p)
    fields = [("left_out", skip), ("samples", samples)] + list(run.items())
    with open(a.out + ".json", "w") as f:
        f.write("{" + ",\n".join(json.dumps(k) + ": " + json.dumps(v, separators=(",", ":"))
                                 for k, v in fields) + "}\n")
    with open(a.out + ".metrics.jsonl", "w") as f:
        for step in range(len(samples)):
            f.write(json.dumps({k: v[step] for k, v in run.items()}) + "\n")


if __name__ == "__main__":
    main()
