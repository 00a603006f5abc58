# Eigen from the system, else from the cmeel-eigen wheel (a build requirement), which keeps it under
# <site-packages>/cmeel.prefix where find_package does not look by itself.
if(NOT TARGET Eigen3::Eigen) # a parent project may have brought it
  find_package(Eigen3 3.3 CONFIG QUIET)
endif()
if(NOT TARGET Eigen3::Eigen)
  set(_sportcore_prefixes ${CMAKE_PREFIX_PATH})
  list(TRANSFORM _sportcore_prefixes APPEND /cmeel.prefix)
  if(Python_EXECUTABLE)
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])"
      OUTPUT_VARIABLE _sportcore_site OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND _sportcore_prefixes "${_sportcore_site}/cmeel.prefix")
  endif()
  find_package(Eigen3 3.3 CONFIG QUIET PATHS ${_sportcore_prefixes} NO_DEFAULT_PATH)
endif()
if(NOT TARGET Eigen3::Eigen)
  message(FATAL_ERROR "Eigen 3.3 or newer was not found. Install it (apt-get install libeigen3-dev) or the wheel "
                      "that carries it (pip install cmeel-eigen) and add its site-packages to CMAKE_PREFIX_PATH.")
endif()
message(STATUS "Eigen: ${Eigen3_DIR}")
