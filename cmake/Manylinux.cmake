# -DSPORTCORE_MANYLINUX=ON: binaries that also load on systems with an older C and C++ library than this one's
# (cmake/manylinux.cpp). `make wheel` sets it. Linux on x86-64 with GCC only.
option(SPORTCORE_MANYLINUX "Avoid symbol versions of the C and C++ library newer than glibc 2.28 and GCC 8" OFF)
if(SPORTCORE_MANYLINUX AND NOT (CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64"
                                AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU"))
  message(FATAL_ERROR "SPORTCORE_MANYLINUX is for GCC on Linux, x86-64.")
endif()
set(_sportcore_manylinux_source "${CMAKE_CURRENT_LIST_DIR}/manylinux.cpp")

function(sportcore_manylinux target)
  if(NOT SPORTCORE_MANYLINUX)
    return()
  endif()
  # the names that manylinux.cpp defines as __wrap_<name>: what the linker redirects is read from there
  file(STRINGS "${_sportcore_manylinux_source}" lines REGEX "^(OLD|WRAP)\\(")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^[A-Z]+\\(([A-Za-z0-9_]+).*" "\\1" name "${line}")
    list(APPEND names "${name}")
  endforeach()
  list(TRANSFORM names PREPEND "LINKER:--wrap=")
  target_sources(${target} PRIVATE "${_sportcore_manylinux_source}")
  # names of assembly, which link-time optimisation does not see
  set_source_files_properties("${_sportcore_manylinux_source}" PROPERTIES COMPILE_OPTIONS -fno-lto)
  target_link_options(${target} PRIVATE ${names})
  # Before glibc 2.34 these were libraries of their own.
  target_link_options(${target} PRIVATE LINKER:--push-state,--no-as-needed -l:libpthread.so.0 -l:libdl.so.2 -l:librt.so.1
                      LINKER:--pop-state)
endfunction()
