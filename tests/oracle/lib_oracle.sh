# Sourced by the scripts beside it. The sizes of the two models, small enough that weights can be
# committed, with a head width and hidden sizes that no vector width divides.
set -u
here=$SOURCE/tests/oracle
compare=$BUILD/tests/oracle_compare
steps=30 # 20 of warm-up, then the cosine

sizes() { # sizes MODEL: the options of `bmc compile`
    case "$1" in
    gpt) echo "-D layers=2 -D width=40 -D heads=4 -D ctx=32" ;;
    llama) echo "-D layers=2 -D width=40 -D heads=4 -D kv_heads=2 -D hidden=88 -D ctx=32" ;;
    esac
}

# train MODEL INIT: the sample from these weights; leaves metrics.jsonl, samples.jsonl, last.safetensors.
train() {
    # shellcheck disable=SC2046
    "$BMC" compile "$SOURCE/samples/$1.bm" -o run $(sizes "$1") >log 2>&1 &&
        run/trainer --data "$here/text.txt" --init "$2" --steps $steps --threads 2 \
            --metrics metrics.jsonl --log-samples samples.jsonl --save last.safetensors >>log 2>&1 || {
        cat log
        exit 1
    }
}

# golden MODEL: a run from the committed weights gives what PyTorch gave, and the comparison can fail.
golden() {
    train "$1" "$here/$1.init.safetensors"
    "$compare" "$here/$1" metrics.jsonl samples.jsonl last.safetensors || exit 1
    awk 'NR == 7 { sub(/"loss":/, "\"loss\":1") } { print }' metrics.jsonl >wrong.jsonl
    "$compare" "$here/$1" wrong.jsonl samples.jsonl last.safetensors >/dev/null 2>&1 && {
        echo "a wrong loss was not noticed"
        exit 1
    }
    "$compare" "$here/$1" metrics.jsonl samples.jsonl "$here/$1.init.safetensors" >/dev/null 2>&1 && {
        echo "wrong weights were not noticed"
        exit 1
    }
    tail -n +2 samples.jsonl >wrong.jsonl
    "$compare" "$here/$1" metrics.jsonl wrong.jsonl last.safetensors >/dev/null 2>&1 && {
        echo "wrong samples were not noticed"
        exit 1
    }
    return 0
}

# need_torch: $torch is a Python that has PyTorch, or the script ends as skipped.
need_torch() {
    for torch in "${PYTHON:-}" python3 /usr/bin/python3; do
        [ -n "$torch" ] && "$torch" -c 'import torch, numpy' 2>/dev/null && return
    done
    echo "skipped: no PyTorch here (apt-get install python3-torch)"
    exit 77
}

# again MODEL OUT: what PyTorch gives from init.safetensors and samples.jsonl, as OUT.json, OUT.safetensors.
again() {
    PYTHONDONTWRITEBYTECODE=1 "$torch" "$here/torch_train.py" "$1" --heads 4 --ctx 32 --text "$here/text.txt" \
        --init init.safetensors --samples samples.jsonl --out "$2" || exit 1
}
