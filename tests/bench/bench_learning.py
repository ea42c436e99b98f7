#!/usr/bin/env python3
"""The quick start's run against PyTorch's, from the same weights and samples: do both learn the same?

    BMC=build/release/bmc tests/bench/bench_learning.py [--steps N]

Checks that the last loss is at least 0.7 nats below the entropy of the text's single bytes, and within
0.02 of PyTorch's (skipped, and said so, where there is none). Takes some minutes, and no time counts: PyTorch's threads wait without spinning, which bears other
programs on the machine better. Exit 1: not so.
"""
import argparse
import collections
import json
import math
import os
import re
import subprocess
import tempfile

import bench_common as bc


def quick_start_steps():
    with open(os.path.join(bc.ROOT, "samples", "quickstart.sh")) as f:
        return int(re.search(r"^steps=\$\{1:-(\d+)\}", f.read(), re.MULTILINE).group(1))


def entropy(path):
    with open(path, "rb") as f:
        counts = collections.Counter(f.read())
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values())


def last(losses):
    return f"{losses[-1]:.4f} (average of the last 10: {sum(losses[-10:]) / len(losses[-10:]):.4f})"


def run_both(a, python):
    bc.compile_sample(os.path.join(bc.ROOT, "samples", "gpt.bm"), "run", {})
    data = ["run/trainer", "--data", "text"]
    subprocess.run(data + ["--steps", "0", "--save", "init"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    bc.measured(data + ["--init", "init", "--steps", str(a.steps), "--threads", str(a.threads),
                        "--metrics", "metrics", "--log-samples", "samples"])
    mine = [line["loss"] for line in bc.training_lines("metrics")]
    if not python:
        return mine, None
    bc.measured([python, os.path.join(bc.HERE, "peer_torch.py"), "gpt", "--heads", "6", "--ctx", "128",
                 "--threads", str(a.threads), "--text", "text", "--init", "init", "--samples",
                 "samples", "--out", "peer.json"], dict(bc.tuned(a.threads), OMP_WAIT_POLICY="passive"))
    with open("peer.json") as f:
        return mine, json.load(f)["loss"]


def main():
    arg = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arg.add_argument("--steps", type=int, default=quick_start_steps())
    arg.add_argument("--threads", type=int, default=2)
    a = arg.parse_args()
    os.environ["BMC"] = bc.bmc_path()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        bc.write_text("text")
        mine, peer = run_both(a, bc.find_torch())
        unigram = entropy("text")
        os.chdir("/")
    print(f"entropy of the bytes   {unigram:.4f} nats")
    print(f"first loss             {mine[0]:.4f}")
    print(f"last loss, step {a.steps:4}   {last(mine)}: {unigram - mine[-1]:.4f} below (at least 0.7)")
    good = unigram - mine[-1] >= 0.7
    if peer:
        print(f"PyTorch's last loss    {last(peer)}: {abs(mine[-1] - peer[-1]):.1e} apart (at most 0.02)")
        print(f"largest distance       {max(abs(x - y) for x, y in zip(mine, peer)):.1e} at any step")
        good = good and abs(mine[-1] - peer[-1]) <= 0.02
    else:
        print("skipped: the PyTorch half (apt-get install python3-torch)")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
