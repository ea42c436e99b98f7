#!/usr/bin/env python3
"""The same training run in PyTorch, timed: a sample's model, first weights, samples and optimizer.

The model is that of tests/oracle/torch_models.py. The environment that makes PyTorch fast on a CPU
is set by whoever starts this (bench_common.tuned): its libraries read it while they are loaded.
Writes one JSON object: ms and loss of each step, and the machine's other load meanwhile.
"""
import argparse
import json
import os
import sys
import time

import numpy
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import torch_models as tm  # noqa: E402  (the folder beside this one)


def main():
    arg = argparse.ArgumentParser(description=__doc__)
    arg.add_argument("model", choices=sorted(tm.MODELS))
    for name in ("heads", "ctx", "threads"):
        arg.add_argument("--" + name, type=int, required=True)
    for name in ("text", "init", "samples", "out"):
        arg.add_argument("--" + name, required=True)
    arg.add_argument("--foreach", action="store_true", help="AdamW's multi-tensor form")
    arg.add_argument("--profile", action="store_true", help="print where the last step's time goes")
    a = arg.parse_args()
    torch.set_num_threads(a.threads)
    p = {name: t.requires_grad_() for name, t in tm.load(a.init).items()}
    opt = tm.optimizer(a.model, p, a.foreach)
    text = numpy.memmap(a.text, dtype=numpy.uint8, mode="r")
    samples = tm.read_samples(a.samples)
    loss_of, values = tm.MODELS[a.model], list(p.values())

    def step(i):
        tokens, targets = tm.batch(text, samples[i], a.ctx)
        for group in opt.param_groups:
            group["lr"] = tm.rate(i, len(samples))
        opt.zero_grad(set_to_none=True)
        loss = loss_of(p, tokens, targets, a.heads)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(values, tm.CLIP)
        opt.step()
        return loss.item()

    ms, losses = [], []
    for i in range(len(samples)):
        begin = time.perf_counter()
        losses.append(step(i))
        ms.append(1e3 * (time.perf_counter() - begin))
    with open(a.out, "w") as f:
        json.dump({"torch": torch.__version__, "ms": ms, "loss": losses}, f)
    if a.profile:
        with torch.profiler.profile() as prof:
            step(len(samples) - 1)
        print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=20,
                                        max_name_column_width=40))


if __name__ == "__main__":
    main()
