# The waits of an emitted trainer, one by one: in the tables of other streams, in calls, and in the
# rows of a block's table.
#   awk -f waits.awk trainer.c           one line for each: number, what it is
#   awk -v k=N -f waits.awk trainer.c    the text without wait N
# -1 is what stands where nothing is waited for.
function site(what) {
    n++
    if (!k)
        print n ": " what
    return n == k
}
# The values of an op's waits: ", {a, b, c}, "
function op_waits(line,    from, len, i, v, text, m, what) {
    match(line, /, \{-?[0-9]+, -?[0-9]+, -?[0-9]+\}, /)
    from = RSTART
    len = RLENGTH
    text = substr(line, from + 3, len - 6)
    split(text, v, ", ")
    split(line, m, /[{,"]/)
    for (i = 1; i <= 3; i++)
        if (v[i] >= 0 && site("step " m[2] " for step " v[i]))
            v[i] = -1
    return substr(line, 1, from + 2) v[1] ", " v[2] ", " v[3] substr(line, from + len - 3)
}
# A row of a block's table: the columns that waits are read from.
function row_waits(line, table,    i, v, out, c) {
    c = split(line, v, ", ")
    for (i = 3; i <= c; i++)
        if ((table, field[table, i]) in waited && v[i] + 0 >= 0 && site(substr(v[1], 7) " in a table, for step " v[i]))
            v[i] = (v[i] ~ /},?$/) ? "-1}," : "-1"
    out = v[1]
    for (i = 2; i <= c; i++)
        out = out ", " v[i]
    return out
}
# First time through: names of columns that are waited for, by table.
NR == FNR {
    if (/^static const struct [a-z_0-9A-Z]+ \{/) {
        open = $4
        fields = 0
    } else if (open && /^    .*;$/) {
        name = $NF
        gsub(/[*;]/, "", name)
        field[open, ++fields] = name
    } else {
        open = ""
    }
    if (match($0, /const struct [a-zA-Z_0-9]+ \*at\)/))
        here = substr($0, RSTART + 13, RLENGTH - 18)
    if (/^    bmrt_wait\(r, [A-Z_]+, \(int\)at->/) {
        name = $0
        sub(/.*at->/, "", name)
        sub(/\).*/, "", name)
        waited[here, name] = 1
    }
    next
}
/^} [a-zA-Z_0-9]+_at\[[0-9]+\] = \{/ {
    rows = $2
    sub(/\[.*/, "", rows)
}
/^};/ { rows = "" }
/^    \{[0-9]+, BMRT_[A-Z_]+, [0-9], \{/ { $0 = op_waits($0) }
rows && /^    \{"/ { $0 = row_waits($0, rows) }
/^    bmrt_wait\(r, [A-Z_]+, [0-9]+\);/ && site("a call, for step " ($3 + 0)) { $0 = "" }
k { print }
END {
    if (k > n)
        exit 1
}
