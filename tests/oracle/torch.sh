# PyTorch at test time: other initial weights than the committed ones (another seed), so another
# run, which must agree just as well; and the committed weights, which must give the golden files.
. "$SOURCE/tests/oracle/lib_oracle.sh"
need_torch
for model in gpt llama; do
    echo "$model, committed weights:"
    cp "$here/$model.init.safetensors" init.safetensors
    train $model init.safetensors
    again $model fresh
    "$compare" fresh metrics.jsonl samples.jsonl last.safetensors || exit 1
    "$compare" "$here/$model" fresh.metrics.jsonl samples.jsonl fresh.safetensors || exit 1
    echo "$model, weights of seed 7:"
    run/trainer --data "$here/text.txt" --seed 7 --steps 0 --save init.safetensors >log 2>&1 &&
        train $model init.safetensors
    again $model fresh
    "$compare" fresh metrics.jsonl samples.jsonl last.safetensors || exit 1
done
