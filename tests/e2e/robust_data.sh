# Data that does not fit: one error that names the file and the numbers, nothing touched.
. "$SOURCE/tests/e2e/lib_e2e.sh"
expect 0 "$BMC" compile tiny.bm -o out.run || exit 1
t=out.run/trainer

# ---- text

refuses 1 "cannot open 'none.txt'" $t --data none.txt
says err "help: "
mkdir folder
refuses 1 "'folder' is not a file" $t --data folder
: >empty.txt
refuses 1 "'empty.txt' has 0 bytes, one sample of 8 tokens and the next token needs 9" $t --data empty.txt
printf '12345678' >short.txt
refuses 1 "'short.txt' has 8 bytes" $t --data short.txt --save w.safetensors
printf '123456789' >just.txt
expect 0 $t --data just.txt --steps 2
refuses 1 "'short.txt' has 8 bytes" $t --valid short.txt

# ---- tokens

sed 's/text("text.txt")/tokens("ids.bin", format = "u16")/; s/Embedding(256/Embedding(50/; s/width, 256)/width, 50)/' \
    tiny.bm >ids.bm
expect 0 "$BMC" compile ids.bm -o ids.run || exit 1
t=ids.run/trainer
refuses 1 "cannot open 'ids.bin'" $t
awk 'BEGIN { for (i = 0; i < 40; i++) printf "\\%03o\\000", i }' | sed 's/^/"/; s/$/"/' >octal
# shellcheck disable=SC2059
printf "$(sed 's/"//g' octal)" >ids.bin
must "40 tokens of two bytes" [ "$(wc -c <ids.bin)" = 80 ]
expect 0 $t --steps 2
{
    head -c 60 ids.bin
    printf '\062\000'
    tail -c 20 ids.bin
} >beyond.bin
refuses 1 "'beyond.bin': token 30 is 50" $t --data beyond.bin
says err "0..49"
printf x | cat ids.bin - >odd.bin
refuses 1 "'odd.bin'" $t --data odd.bin
head -c 16 ids.bin >short.bin
refuses 1 "'short.bin' has 8 tokens" $t --data short.bin
sed 's/"u16"/"llmc"/' ids.bm >llmc.bm
expect 0 "$BMC" compile llmc.bm -o llmc.run
refuses 1 "'ids.bin'" llmc.run/trainer

# ---- npy: the columns of mlp.bm

sample_data
expect 0 "$BMC" compile "$SOURCE/samples/mlp.bm" -o mlp.run || exit 1
t=mlp.run/trainer
expect 0 $t --steps 1 --eval-every 0
cp mlp_kind.npy beyond.npy
# The second column of the third row of int32, behind a header of 128 bytes; 7 kinds are 0..6.
printf '\007' | dd of=beyond.npy bs=1 seek=$((128 + 4 * 5)) conv=notrunc 2>dd.log || exit 1
# Which values a column may hold is known to the table that is read, so the run meets it.
expect 1 $t --data x=mlp_x.npy,kind=beyond.npy,label=mlp_label.npy --save w.safetensors
says err "error: step 4: 'kind_emb.1' reads row 7 of a table of 7 (sample 44 of the batch, position 0)"
must "no weights of a run that failed" [ ! -e w.safetensors ]
printf '\003' | cat mlp_label.npy - >longer.npy
refuses 1 "longer.npy" $t --data x=mlp_x.npy,kind=mlp_kind.npy,label=longer.npy
head -c 3000 mlp_x.npy >cut.npy
refuses 1 "cut.npy" $t --data x=cut.npy,kind=mlp_kind.npy,label=mlp_label.npy
head -c 50 mlp_x.npy >head.npy
refuses 1 "head.npy" $t --data x=head.npy,kind=mlp_kind.npy,label=mlp_label.npy
refuses 1 "text.txt" $t --data x=text.txt,kind=mlp_kind.npy,label=mlp_label.npy
refuses 1 "mlp_label_valid.npy" $t --data x=mlp_x.npy,kind=mlp_kind.npy,label=mlp_label_valid.npy
says err "512"
refuses 1 "mlp_label.npy" $t --data x=mlp_label.npy,kind=mlp_kind.npy,label=mlp_label.npy
refuses 1 "no such input" $t --data x=mlp_x.npy,kind=mlp_kind.npy,label=mlp_label.npy,more=mlp_x.npy
refuses 2 "--data" $t --data mlp_x.npy
refuses 1 "cannot open 'none.npy'" $t --valid x=none.npy
exit $bad
