#!/usr/bin/env python3
"""samples/gpt.bm against PyTorch at its best: step time and peak memory.

    BMC=build/release/bmc OPENBLAS_OPENMP_DIR=DIR tests/bench/bench_gpt.py

The model is 6 layers of width 384 and 6 heads, context 256, batch 8, fp32, on 2 threads. Both
programs start from the same weights and see the same samples, and take turns; a run's figure is the
median of its steps after the first two, and what is compared is the median of the runs. Aims: a
ratio of step times of at most 1.0, of peak memory of at most 0.6. Without PyTorch our half is run
and the other named as skipped. Never a test: it fails only when the losses disagree.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

import bench_common as bc

WARM = 2  # steps that are not timed


def arguments():
    arg = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, value in (("layers", 6), ("width", 384), ("heads", 6), ("ctx", 256), ("batch", 8),
                        ("threads", 2), ("steps", 10), ("runs", 5)):
        arg.add_argument("--" + name, type=int, default=value)
    arg.add_argument("--text", help="default: the licences of this machine")
    arg.add_argument("--profile", action="store_true", help="where PyTorch's time goes")
    return arg.parse_args()


def prepare(a):
    """The trainer, with the batch size of the benchmark; first weights."""
    with open(os.path.join(bc.ROOT, "samples", "gpt.bm")) as f:
        text, n = re.subn(r"(?m)^(\s*batch\s*=\s*)\d+", rf"\g<1>{a.batch}", f.read())
    assert n == 1, "samples/gpt.bm has one line `batch = N`"
    with open("gpt.bm", "w") as f:
        f.write(text)
    bc.compile_sample("gpt.bm", "run", {k: getattr(a, k) for k in ("layers", "width", "heads", "ctx")})
    if a.text is None:
        bc.write_text("text")
        a.text = "text"
    subprocess.run(["run/trainer", "--data", a.text, "--steps", "0", "--save", "init"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ours(a):
    r = bc.measured(["run/trainer", "--data", a.text, "--init", "init", "--steps", str(a.steps + WARM),
                     "--threads", str(a.threads), "--metrics", "metrics", "--log-samples", "samples"])
    lines = bc.training_lines("metrics")
    return dict(r, ms=[line["dt_ms"] for line in lines], loss=[line["loss"] for line in lines])


def theirs(a, python):
    words = [python, os.path.join(bc.HERE, "peer_torch.py"), "gpt", "--heads", str(a.heads), "--ctx",
             str(a.ctx), "--threads", str(a.threads), "--text", a.text, "--init", "init", "--samples",
             "samples", "--out", "peer.json"]
    r = bc.measured(words + (["--profile"] if a.profile else []), bc.tuned(a.threads))
    if a.profile:
        print(r["log"])
    with open("peer.json") as f:
        return dict(json.load(f), **r)


def show(name, r):
    print(f"  {name:8} {bc.median(r['ms'][WARM:]):8.1f} ms (least {min(r['ms'][WARM:]):.1f})   "
          f"{r['rss']:7.1f} MiB   other programs {r['others']:.2f} cores", flush=True)


def compare(mine, peer):
    time = [bc.median([bc.median(r["ms"][WARM:]) for r in side]) for side in (mine, peer)]
    least = [min(min(r["ms"][WARM:]) for r in side) for side in (mine, peer)]
    rss = [bc.median([r["rss"] for r in side]) for side in (mine, peer)]
    print(f"step time   bmc {time[0]:.1f} ms, torch {time[1]:.1f} ms: {time[0] / time[1]:.3f} "
          f"(aim 1.0; of the least: {least[0] / least[1]:.3f})")
    print(f"peak memory bmc {rss[0]:.1f} MiB, torch {rss[1]:.1f} MiB: {rss[0] / rss[1]:.3f} (aim 0.6)")
    apart = max(abs(x - y) for x, y in zip(mine[0]["loss"], peer[0]["loss"]))
    print(f"losses      {apart:.1e} apart at most over {len(mine[0]['loss'])} steps")
    others = bc.median([r["others"] for r in mine + peer])
    if others > 0.1:
        print(f"disturbed   other programs used {others:.2f} cores: the times say little")
    if not apart < 1e-3:
        sys.exit("the two programs do not train the same model")


def main():
    a = arguments()
    a.text = os.path.abspath(a.text) if a.text else None
    bc.bmc_path()
    python = bc.find_torch()
    with tempfile.TemporaryDirectory() as work:
        os.environ["BMC"] = bc.bmc_path()
        os.chdir(work)
        prepare(a)
        mine, peer = [], []
        for run in range(a.runs):
            print(f"run {run + 1} of {a.runs}, {a.steps} steps")
            mine.append(ours(a))
            show("bmc", mine[-1])
            if python:
                peer.append(theirs(a, python))
                show("torch", peer[-1])
        if python:
            print(f"PyTorch {peer[0]['torch']}" + (
                "" if os.environ.get("OPENBLAS_OPENMP_DIR") else
                "; with OPENBLAS_OPENMP_DIR it would share one pool of threads, and be faster"))
            compare(mine, peer)
        else:
            print("skipped: the PyTorch half (apt-get install python3-torch)")
        os.chdir("/")


if __name__ == "__main__":
    main()
