# Builds that watch themselves: -DSPORTCORE_SANITIZE=address,undefined (or thread) compiles and links everything with
# the sanitizers of GCC and Clang. `make test-sanitize` runs the C++ tests so. Assertions (Eigen's among them) are on.
set(SPORTCORE_SANITIZE "" CACHE STRING "Sanitizers to build with, comma separated: address,undefined or thread")
if(SPORTCORE_SANITIZE)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    message(FATAL_ERROR "SPORTCORE_SANITIZE needs GCC or Clang, this is ${CMAKE_CXX_COMPILER_ID}.")
  endif()
  # -O1: quick to compile (templates of Eigen) and the traces stay readable; no NDEBUG
  foreach(_kind DEBUG RELEASE RELWITHDEBINFO MINSIZEREL)
    set(CMAKE_CXX_FLAGS_${_kind} "-O1 -g1")
  endforeach()
  add_compile_options(-fsanitize=${SPORTCORE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(SPORTCORE_SANITIZE MATCHES "undefined") # not part of "undefined": numbers cast to an integer that cannot hold them
    add_compile_options(-fsanitize=float-cast-overflow)
  endif()
  add_link_options(-fsanitize=${SPORTCORE_SANITIZE})
  message(STATUS "Sanitizers: ${SPORTCORE_SANITIZE}")
endif()
