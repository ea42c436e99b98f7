#!/usr/bin/env python3
"""Predicted step times against measured ones, for the samples.

    BMC=build/release/bmc tests/bench/bench_cost.py [--threads 2]

The profile is written first (`bmc calibrate`), before any sample is read; then each sample is
compiled for it, and a step's predicted time (plan.json) compared with the median of its trainer's
steps after the first ones. Aims: within 15 % for gpt and llama, 30 % for mlp and regression. Below
each sample its kinds of work: predicted, and measured by timing every call into the runtime (a
second build of the same trainer); then matrix products, and all else by what the plan says bounds it
(steps[].class). A machine that is busy with other things makes both useless: how busy it was is
said. Never a test.
"""
import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile

import bench_common as bc

AIM = {"gpt": 15, "llama": 15, "mlp": 30, "regression": 30}
STEPS = {"gpt": 20, "llama": 20, "mlp": 5000, "regression": 5000}  # half a second and more
WARM = 3  # steps that are not timed
WRAPPED = "bmrt_launch", "bmrt_gemm", "bmrt_sum_squares"
COLLECTIVES = "all_gather", "reduce_scatter", "all_reduce", "copy"


def arguments():
    arg = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arg.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arg.add_argument("--runs", type=int, default=3)
    arg.add_argument("--machine", help="a profile made before, instead of measuring")
    arg.add_argument("--sample", action="append", choices=sorted(AIM))
    return arg.parse_args()


def prepare():
    """The samples' data, in this folder."""
    maker = os.path.join(bc.ROOT, "samples", "make_data.c")
    subprocess.run(["cc", "-O2", maker, "-o", "make_data", "-lm"], check=True)
    subprocess.run(["./make_data", "."], check=True, stdout=subprocess.DEVNULL)
    bc.write_text("text")


def words(sample, steps, threads):
    data = ["--data", "text"] if sample in ("gpt", "llama") else []
    return data + ["--steps", str(steps), "--threads", str(threads), "--metrics", "metrics",
                   "--eval-every", "0"]


def step_ms(sample, threads, runs):
    """The median of the runs' medians, the least of all steps, and the cores others used."""
    ms, least, others = [], [], []
    for _ in range(runs):
        r = bc.measured([f"{sample}.run/trainer"] + words(sample, STEPS[sample], threads))
        lines = bc.training_lines("metrics")
        ms.append(bc.median([line["dt_ms"] for line in lines][WARM:]))
        least.append(min([line["dt_ms"] for line in lines][WARM:]))
        others.append(r["others"])
    return bc.median(ms), min(least), bc.median(others)


def kind_of(s):
    return "gemm" if s["kind"] == "gemm" else "attention" if s["kind"].startswith("attention") \
        else "net" if s["kind"] in COLLECTIVES else "fused"


def class_of(s):
    return "gemm" if s["kind"] == "gemm" else s["class"]


def predicted(plan, sort):
    """Milliseconds of a step by the sort of work, as the plan says."""
    sums = collections.Counter()
    for s in plan["steps"]:
        if s["program"] != "train":
            continue
        times = plan["rounds"] if s["phase"] in ("round", "weight") and s["when"] == "always" else 1
        sums[sort(s)] += s["ps"] * times / 1e9
    return sums


def classes_of_calls(plan):
    """The class of a call by the name cost_calls.c has for it: its kernel's, as the trainer's text
    has it. Kernels with the same text are one function there, with the first one's name."""
    by_name = collections.defaultdict(collections.Counter)
    for s in plan["steps"]:
        if s["program"] == "train":
            name = s["kind"] if s["kind"] == "sum_squares" else s["kernel"]
            by_name[name][class_of(s)] += s["ps"]
    return {name: sums.most_common(1)[0][0] for name, sums in by_name.items()}


def timed_trainer(sample):
    """The trainer again, with every call into the runtime timed."""
    folder = f"{sample}.run"
    home = os.path.dirname(bc.bmc_path())
    flags = "-std=c11 -O3 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math".split()
    with open("/proc/cpuinfo") as f:
        if "avx512f" in f.read():
            flags.append("-mprefer-vector-width=512")
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
    sources = [f"{folder}/trainer.c", f"{folder}/kernels.c", os.path.join(bc.HERE, "cost_calls.c")]
    libraries = [os.path.join(home, "libbmrt.a"), "-ldnnl", "-ljansson", "-lpthread", "-lm", "-ldl"]
    built = subprocess.run(["cc"] + flags + [f"-I{home}/include"] + sources + ["-rdynamic"] + wraps +
                           ["-o", f"{folder}/timed"] + libraries, capture_output=True, text=True)
    return f"{folder}/timed" if built.returncode == 0 else None


def calls_of(program, sample, steps, threads):
    env = dict(os.environ, COST_CALLS="calls")
    subprocess.run([program] + words(sample, steps, threads), check=True, env=env,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    calls = {}
    with open("calls") as f:
        for line in f:
            kind, name, n, us = line.rstrip("\n").split("\t")
            calls[kind, name] = int(n), float(us)
    return calls


def measured_calls(sample, plan, threads):
    """Milliseconds of a step by kind of work, and by class; what a longer run does more often is a
    step's."""
    kinds, classes = collections.Counter(), collections.Counter()
    program = timed_trainer(sample)
    if not program:
        return kinds, classes
    more = STEPS[sample] // 2
    few, many = (calls_of(program, sample, WARM + n, threads) for n in (0, more))
    of_call = classes_of_calls(plan)
    for (kind, name), (n, us) in many.items():
        ms = (n - few.get((kind, name), (0, 0))[0]) / more * us / 1e3
        kinds[kind] += ms
        classes["gemm" if kind == "gemm" else of_call.get(name.rsplit(":", 1)[0], "unknown")] += ms
    return kinds, classes


def show_sums(said, got):
    for name, t in sorted(said.items()):
        print(f"    {name:9} {t:9.3f} ms" +
              (f", measured {got[name]:9.3f} ms: {100 * (t / got[name] - 1):+6.1f} %"
               if got.get(name) else ""))
    for name in sorted(n for n in got if n not in said and got[n] > 0):
        print(f"    {name:9} not predicted, measured {got[name]:9.3f} ms")


def show(sample, plan, ms, least, others, kinds, classes):
    said = plan["totals"]["step_ps"] / 1e9
    off = 100 * (said / ms - 1)
    print(f"{sample:11} predicted {said:9.3f} ms, measured {ms:9.3f} ms: {off:+6.1f} % "
          f"(aim {AIM[sample]} %{'' if abs(off) <= AIM[sample] else ', MISSED'}; "
          f"of the least {100 * (said / least - 1):+.1f} %)"
          f"{f'   others {others:.2f} cores' if others > 0.1 else ''}", flush=True)
    show_sums(predicted(plan, kind_of), kinds)
    if kinds:
        print(f"    the rest  {ms - sum(kinds.values()):9.3f} ms of a step are not calls")
    print("  matrix products, and the other steps by class")
    show_sums(predicted(plan, class_of), classes)
    sys.stdout.flush()


def main():
    a = arguments()
    bmc = bc.bmc_path()
    machine = os.path.abspath(a.machine) if a.machine else None
    missed = 0
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        if not machine:
            machine = "machine.json"
            subprocess.run([bmc, "calibrate", "-o", machine, "--threads", str(a.threads)], check=True)
        prepare()
        for sample in a.sample or AIM:
            shutil.copy(os.path.join(bc.ROOT, "samples", f"{sample}.bm"), ".")
            subprocess.run([bmc, "compile", f"{sample}.bm", "--machine", machine], check=True,
                           stdout=subprocess.DEVNULL)
            with open(f"{sample}.run/plan.json") as f:
                plan = json.load(f)
            ms, least, others = step_ms(sample, a.threads, a.runs)
            show(sample, plan, ms, least, others, *measured_calls(sample, plan, a.threads))
            missed += abs(plan["totals"]["step_ps"] / 1e9 / ms - 1) * 100 > AIM[sample]
        os.chdir("/")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
