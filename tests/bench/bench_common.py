"""What the benchmarks share: compiling a sample, running a program and knowing what it took."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LICENCES = "/usr/share/common-licenses"


def bmc_path():
    """$BMC, or the release build."""
    path = os.environ.get("BMC", os.path.join(ROOT, "build", "release", "bmc"))
    if not os.access(path, os.X_OK):
        sys.exit(f"no bmc at {path}: build it, or give BMC=path")
    return os.path.abspath(path)


def write_text(path):
    """The quick start's text: the licences every Debian has, each once, in the order of their names."""
    names = sorted(os.path.join(folder, name) for folder, _, files in os.walk(LICENCES)
                   for name in files if not os.path.islink(os.path.join(folder, name)))
    if not names:
        sys.exit(f"nothing in {LICENCES}: give a text with --text FILE")
    with open(path, "wb") as out:
        for name in names:
            with open(name, "rb") as f:
                out.write(f.read())


def compile_sample(bm, folder, define):
    words = [w for k, v in define.items() for w in ("-D", f"{k}={v}")]
    subprocess.run([bmc_path(), "compile", bm, "-o", folder] + words, check=True,
                   stdout=subprocess.DEVNULL)


def busy():
    """CPU seconds the whole machine has worked."""
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


def measured(words, env=None):
    """Runs a program; its peak resident MiB, and the cores other programs used meanwhile."""
    with tempfile.TemporaryFile() as log:
        begin, before = time.monotonic(), busy()
        child = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        wall, after = time.monotonic() - begin, busy()
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read().decode(errors="replace")
    if child.returncode:
        sys.exit(f"exit {child.returncode} of {' '.join(words)}\n{text}")
    others = max(0.0, (after - before - usage.ru_utime - usage.ru_stime) / wall)
    return {"rss": usage.ru_maxrss / 1024, "others": others, "log": text}


def training_lines(path):
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    return [line for line in lines if "grad_norm" in line]


def find_torch():
    """A Python that has PyTorch, or None: $PYTHON, this one, Debian's."""
    for python in (os.environ.get("PYTHON"), sys.executable, "/usr/bin/python3"):
        if python and subprocess.run([python, "-c", "import torch, numpy"],
                                     stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return None


def tuned(threads):
    """What makes PyTorch 1.13 fastest on a CPU, over how it comes: the vector width the machine has;
    an allocator that keeps freed blocks, where the kernel would hand out zeroed pages at each step; and
    one pool of threads, shared with an OpenBLAS built for OpenMP (its folder in OPENBLAS_OPENMP_DIR),
    or at least two pools that do not spin against each other."""
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    with open("/proc/cpuinfo") as f:
        flags = f.read()
    env["ATEN_CPU_CAPABILITY"] = "avx512" if "avx512f" in flags else "avx2"
    env.update(MALLOC_MMAP_THRESHOLD_=str(1 << 32), MALLOC_TRIM_THRESHOLD_=str(1 << 33),
               MALLOC_TOP_PAD_=str(1 << 26))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = str(threads)
    folder = os.environ.get("OPENBLAS_OPENMP_DIR")
    if folder:
        env["LD_LIBRARY_PATH"] = os.pathsep.join(
            [folder] + [p for p in [env.get("LD_LIBRARY_PATH")] if p])
    else:
        env["OMP_WAIT_POLICY"] = "passive"
    return env


def median(values):
    return statistics.median(values)
