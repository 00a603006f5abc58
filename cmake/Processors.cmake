# The least processor that a build runs on. x86-64-v2 (SSE4.2, POPCNT: Intel since 2008, AMD since 2011) is what wheels
# promise; sources that want more are compiled for it one by one and called only where the processor has it.
# cmake/check_isa.py looks into the objects whether that is kept. As a part of another project the parent decides.
option(SPORTCORE_X86_64_V2 "Compile for x86-64-v2 where the compiler and the processor are of that kind"
       ${SPORTCORE_TOP_LEVEL})
function(sportcore_processors target)
  if(NOT SPORTCORE_X86_64_V2 OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" OR CMAKE_CXX_FLAGS MATCHES "-march=")
    return()
  endif()
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-march=x86-64-v2 SPORTCORE_HAS_X86_64_V2)
  if(SPORTCORE_HAS_X86_64_V2)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-march=x86-64-v2>)
  endif()
endfunction()
