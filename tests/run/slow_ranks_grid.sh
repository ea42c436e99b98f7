# The whole grid of ranks_same_bits.sh: all levels x recompute x overlap on 3 and 4 ranks.
FULL=1 exec sh "$SOURCE/tests/run/ranks_same_bits.sh"
