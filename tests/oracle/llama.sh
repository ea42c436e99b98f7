# samples/llama.bm from committed weights: 30 steps as PyTorch made them. Needs no Python.
. "$SOURCE/tests/oracle/lib_oracle.sh"
golden llama
