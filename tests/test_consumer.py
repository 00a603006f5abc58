"""Somebody else's CMake project finds and uses the library: from `cmake --install`, and from the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import sportcore as sc
from sportcore.cmake import cmake_prefix, include_dir, library_dir

ROOT = Path(__file__).resolve().parents[1]
CONSUMER = ROOT / "tests" / "consumer"
PURELIB = sysconfig.get_paths()["purelib"]


def run(*command: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def cmake() -> str:
    found = shutil.which("cmake") or shutil.which("cmake", path=str(Path(sys.executable).parent))
    if found is None or (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")) is None:
        pytest.skip("no cmake or no C++ compiler")
    return found


def build_and_run(prefix: Path, build: Path) -> str:
    run(cmake(), "-S", CONSUMER, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    run(cmake(), "--build", build)
    return run(build / "consumer")


def test_the_installed_package_holds_what_a_consumer_needs():
    assert (include_dir() / "sportcore" / "triangulate.h").is_file()
    assert (library_dir() / "cmake" / "sportcore" / "sportcoreConfig.cmake").is_file()
    assert any(library_dir().glob("libsportcore.*"))
    for name in (include_dir() / "sportcore").glob("*.h"):
        assert "Eigen/" not in name.read_text(), f"{name.name}: a public header must not need Eigen"
    for name in (library_dir() / "cmake" / "sportcore").glob("*.cmake"):
        assert str(ROOT) not in name.read_text(), f"{name.name} holds a path of the build machine"


@pytest.mark.slow
def test_consumer_of_this_installation(tmp_path):
    assert "sportcore 0." in build_and_run(cmake_prefix(), tmp_path / "build")


@pytest.mark.slow
def test_consumer_of_cmake_install(tmp_path):
    run(
        cmake(), "-S", ROOT, "-B", tmp_path / "build", "-DCMAKE_BUILD_TYPE=Release", "-DSPORTCORE_CUDA=OFF",
        f"-DCMAKE_PREFIX_PATH={PURELIB};{PURELIB}/cmeel.prefix", f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'prefix'}",
    )  # fmt: skip
    run(cmake(), "--build", tmp_path / "build", "--parallel", os.cpu_count() or 1)
    run(cmake(), "--install", tmp_path / "build")
    shutil.move(tmp_path / "prefix", tmp_path / "moved")  # it can be moved
    shutil.rmtree(tmp_path / "build")
    assert "sportcore 0." in build_and_run(tmp_path / "moved", tmp_path / "consumer")


@pytest.mark.slow
def test_consumer_of_the_wheel(tmp_path):
    pytest.importorskip("scikit_build_core", reason="no scikit-build-core to build the wheel with")
    env = dict(os.environ, CMAKE_PREFIX_PATH=f"{PURELIB}/cmeel.prefix", CMAKE_ARGS="-DSPORTCORE_CUDA=OFF")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(
        *pip, "wheel", ROOT, "--no-deps", "--no-build-isolation", "-w", tmp_path, "-C", f"build-dir={tmp_path / 'b'}",
        env=env,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("sportcore-*.whl")
    assert wheel.stat().st_size < 20_000_000
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    run(*pip, "install", "--no-deps", "--target", site, wheel)
    # the dependencies come from here: nothing is downloaded in a test
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")} | {"PYTHONPATH": PURELIB}
    python = tmp_path / "venv" / "bin" / "python"
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import sportcore.cmake as m; print(m.cmake_prefix())"
    prefix = Path(run(python, "-c", code, env=env).strip())
    assert prefix == (site / "sportcore").resolve()
    assert f"sportcore {sc.__version__}" in build_and_run(prefix, tmp_path / "consumer")
