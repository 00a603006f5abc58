"""Where CMake finds the C++ library that is inside this package.

``cmake -S . -B build -DCMAKE_PREFIX_PATH=$(python -m sportcore.cmake)`` and then ``find_package(sportcore)``.
"""

from __future__ import annotations

from pathlib import Path

from . import _core

__all__ = ["cmake_prefix", "include_dir", "library_dir"]


def cmake_prefix() -> Path:
    """The folder to add to ``CMAKE_PREFIX_PATH``."""
    return Path(_core.__file__).resolve().parent  # in an editable install the Python sources lie elsewhere


def include_dir() -> Path:
    """The folder of the headers ``sportcore/*.h``."""
    return cmake_prefix() / "include"


def library_dir() -> Path:
    """The folder of the shared library."""
    return cmake_prefix() / "lib"


if __name__ == "__main__":
    print(cmake_prefix())
