# Turns text files into C arrays, so that `bmc` is one file to copy.
#   cmake "-DOUT=x.c" "-DFILES=a/math.h;b.bm" -P embed.cmake
# a/math.h becomes `const char bm_text_math_h[]`, terminated by a 0 that is not part of the text.
set(source "#include \"embedded.h\"\n")
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" NAME)
  string(MAKE_C_IDENTIFIER "bm_text_${name}" symbol)
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND source "const char ${symbol}[] = {\n${bytes}0};\n")
endforeach()
file(WRITE "${OUT}" "${source}")
