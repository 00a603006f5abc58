"""What a build promises: one version everywhere, no CUDA library to load, nothing heavy on import, a stub that fits."""

from __future__ import annotations

import ast
import os
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
    foreign = [n for n in strong if "sportcore::" not in n and not n.startswith(("_init", "_fini"))]
    assert not foreign, foreign


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
