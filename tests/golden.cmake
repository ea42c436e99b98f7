# Compares what `bmc compile MODEL --emit=KIND` prints with the file GOLDEN.
#   cmake -DBMC=bmc -DMODEL=x.bm -DKIND=plan -DGOLDEN=x.plan [-DBLESS=1] -P golden.cmake
# BLESS=1, here or in the environment, takes the output for right: look at the diff before committing it.
set(got "$ENV{TMPDIR}")
if(got STREQUAL "")
  set(got /tmp)
endif()
string(RANDOM LENGTH 10 random)
set(got "${got}/bmc-golden-${random}")
execute_process(COMMAND "${BMC}" compile "${MODEL}" "--emit=${KIND}=${got}" RESULT_VARIABLE code
                ERROR_VARIABLE messages OUTPUT_VARIABLE output)
if(NOT code EQUAL 0)
  file(REMOVE "${got}")
  message(FATAL_ERROR "bmc compile ${MODEL} --emit=${KIND} gave ${code}\n${messages}${output}")
endif()
if(BLESS OR "$ENV{BLESS}" STREQUAL "1")
  configure_file("${got}" "${GOLDEN}" COPYONLY)
endif()
execute_process(COMMAND diff -u "${GOLDEN}" "${got}" RESULT_VARIABLE differs OUTPUT_VARIABLE diff
                ERROR_VARIABLE diff_error)
file(REMOVE "${got}")
if(NOT differs EQUAL 0)
  string(SUBSTRING "${diff}" 0 6000 diff)
  message(FATAL_ERROR "${MODEL}: --emit=${KIND} is not what ${GOLDEN} holds (BLESS=1 ctest takes it "
                      "for right)\n${diff}${diff_error}")
endif()
