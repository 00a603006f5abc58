"""What a build promises: one version everywhere, no CUDA library to load, nothing heavy on import, a stub that fits."""

from __future__ import annotations

import ast
import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sportcore as sc
from sportcore import _core
from sportcore.cmake import include_dir, library_dir

ROOT = Path(__file__).resolve().parents[1]


def test_one_version_everywhere():
    project = (ROOT / "pyproject.toml").read_text()
    declared = re.search(r'^version = "(.+)"', project, re.M)
    cmake = re.search(r"project\(sportcore VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    header = re.search(r'SPORTCORE_VERSION "(.+)"', (include_dir() / "sportcore" / "version.h").read_text())
    assert declared and cmake and header
    assert declared[1] == cmake[1] == header[1] == _core.__version__ == sc.__version__


def test_import_needs_no_gpu_no_torch_and_no_display():
    code = (
        "import sys, sportcore, sportcore._core as c\n"
        "import sportcore.points3d\n"
        "assert c.cuda_device_count() == 0\n"
        "heavy = {'torch', 'plotly', 'av', 'onnxruntime', 'ai_edge_litert', 'ezc3d', 'dask'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "DISPLAY"} | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("ldd") is None, reason="needs ldd")
def test_no_library_of_cuda_or_of_the_build_machine_is_loaded():
    core = Path(_core.__file__)
    for binary in (core, *library_dir().glob("libsportcore.so*")):
        out = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
        assert "not found" not in out
        assert not re.search(r"libcud|libnv|libpython", out), out
    linked = subprocess.run(["ldd", str(core)], capture_output=True, text=True, check=True).stdout
    found = re.search(r"libsportcore\.so\S* => (\S+)", linked)
    assert found and Path(found[1]).resolve().parent == library_dir().resolve()


@pytest.mark.skipif(shutil.which("nm") is None or sys.platform != "linux", reason="needs nm")
def test_only_the_public_names_are_exported():
    (library,) = [p for p in library_dir().glob("libsportcore.so*") if not p.is_symlink()]
    out = subprocess.run(
        ["nm", "-DC", "--defined-only", str(library)], capture_output=True, text=True, check=True
    ).stdout
    strong = [line.split(maxsplit=2)[2] for line in out.splitlines() if " T " in line]
    assert any(name.startswith("sportcore::triangulate(") for name in strong)
    c_interface = set(re.findall(r"\b(sportcore_\w+)\(", (include_dir() / "sportcore" / "sportcore_c.h").read_text()))
    assert c_interface <= set(strong), sorted(c_interface - set(strong))
    public = [n for n in strong if "sportcore::" in n or n in c_interface or n.startswith(("_init", "_fini"))]
    assert set(strong) == set(public), sorted(set(strong) - set(public))


def test_the_version_of_the_library():
    (path,) = [p for p in library_dir().glob("libsportcore.*") if not p.is_symlink()]
    library = ctypes.CDLL(str(path))
    library.sportcore_version.restype = ctypes.c_char_p
    assert library.sportcore_version().decode() == sc.__version__
    major, minor, patch = (int(n) for n in sc.__version__.split("."))
    assert library.sportcore_version_number() == 10000 * major + 100 * minor + patch


def compiles(language: str, text: str, *flags: str) -> None:
    compiler = shutil.which("c++" if language == "c++" else "cc")
    if compiler is None:
        pytest.skip("no compiler")
    done = subprocess.run(
        [compiler, "-x", language, "-fsyntax-only", f"-I{include_dir()}", *flags, "-"], input=text, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{flags}\n{text}\n{done.stderr[-4000:]}"


STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


@pytest.mark.slow
def test_public_headers_compile_alone_and_together():
    """As an embedder includes them: any one, all at once, with the strictest warnings and a newer standard."""
    headers = sorted(p.name for p in (include_dir() / "sportcore").glob("*.h"))
    lines = [f"#include <sportcore/{name}>\n" for name in headers]
    compiles("c++", "".join(lines), "-std=c++17", *STRICT)
    compiles("c++", "".join(reversed(lines)), "-std=c++20", *STRICT)
    for line in lines:
        compiles("c++", line, "-std=c++17", *STRICT)
    compiles("c", "#include <sportcore/sportcore_c.h>\n", "-std=c11", *STRICT)
    compiles("c", "#include <sportcore/version.h>\nint number = SPORTCORE_VERSION_NUMBER;\n", "-std=c99", *STRICT)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64")
@pytest.mark.parametrize(
    "flags", [("-march=x86-64",), ("-march=x86-64-v3",), ("-march=skylake-avx512", "-O3"), ("-Os",)]
)
def test_no_layout_depends_on_the_processor(flags):
    """cpp/tests/test_layout.cpp states every size and offset; here it is compiled for others than the library was."""
    source = ROOT / "cpp" / "tests" / "test_layout.cpp"
    compiles("c++", source.read_text(), "-std=c++17", f"-I{source.parent}", *flags)


@pytest.mark.skipif(platform.machine() != "x86_64" or shutil.which("objdump") is None, reason="needs objdump, x86-64")
def test_the_look_for_instructions_finds_them(tmp_path):
    """cmake/check_isa.py: AVX in an ordinary object, and a template that an object made for AVX2 would lend to all."""
    sys.path.insert(0, str(ROOT / "cmake"))
    try:
        import check_isa
    finally:
        sys.path.pop(0)
    (tmp_path / "f.cpp").write_text(
        "template <class T> T twice(T x) { return x + x; }\n"
        "namespace avx2 { struct Pack { double x[4]; };\n"
        "template <class T> T own(T p) { p.x[1] += p.x[2]; return p; } }\n"
        "template double twice(double);\ntemplate avx2::Pack avx2::own(avx2::Pack);\n"
    )
    found = {}
    for name, flag in (("plain", "-msse4.2"), ("wrong", "-mavx"), ("made_for_avx2", "-mavx2")):
        folder = tmp_path / name / "CMakeFiles" / "sportcore.dir"
        folder.mkdir(parents=True)
        subprocess.run(["c++", "-O2", "-c", flag, tmp_path / "f.cpp", "-o", folder / f"{name}.o"], check=True)
        found[name] = check_isa.check(tmp_path / name)
    assert found["plain"] == (1, [])
    assert any("twice" in line and "uses v" in line for line in found["wrong"][1])
    assert len(found["made_for_avx2"][1]) == 1 and "offers double twice" in found["made_for_avx2"][1][0]


def test_every_source_is_listed():
    """Source lists are written out; a file that is in none of them would silently not be built."""
    listed = (ROOT / "CMakeLists.txt").read_text()
    tests = (ROOT / "cpp" / "tests" / "CMakeLists.txt").read_text()
    for folder, pattern in (
        ("cpp/src", "*.cpp"),
        ("cuda", "*.cu"),
        ("python/bindings", "*.cpp"),
        ("cpp/include/sportcore", "*.h"),
    ):
        for path in sorted((ROOT / folder).glob(pattern)):
            assert str(path.relative_to(ROOT)) in listed, f"{path.relative_to(ROOT)} is not in CMakeLists.txt"
    for path in sorted((ROOT / "cpp" / "tests").glob("test_*.cpp")):
        assert f"({path.stem[5:]})" in tests, f"{path.name} is not in cpp/tests/CMakeLists.txt"


def test_the_stub_names_what_the_module_has():
    stub = ast.parse((ROOT / "python" / "sportcore" / "_core.pyi").read_text())
    named = {n.name for n in stub.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    named |= {n.target.id for n in stub.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    present = {n for n in dir(_core) if not n.startswith("_")}
    assert present <= named, f"run `make stubs`: missing {sorted(present - named)}"
    assert {n for n in named if not n.startswith("_")} <= present, "run `make stubs`: the stub names what is gone"
