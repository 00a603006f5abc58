"""Somebody else's CMake project uses the library: as source, from `cmake --install`, and from the wheel.

The examples are built both ways and run on the data of a scene with known cameras.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from calibration_scenes import scene

import sportcore as sc
from sportcore.cmake import cmake_prefix, include_dir, library_dir
from sportcore.evaluation import camera_errors
from sportcore.io import read_cameras_csv, write_cameras_csv, write_keypoints_csv

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


def build_and_run(prefix: Path, build: Path, source: Path = CONSUMER) -> str:
    run(cmake(), "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
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


@pytest.fixture(scope="module")
def as_source(tmp_path_factory) -> Path:
    """Build folder of a project that takes the library in with add_subdirectory, and asks it to be installed too."""
    folder = tmp_path_factory.mktemp("parent")
    run(
        cmake(), "-S", CONSUMER / "subdirectory", "-B", folder / "build", f"-DSPORTCORE_SOURCE={ROOT}",
        "-DSPORTCORE_INSTALL=ON", "-DCMAKE_BUILD_TYPE=", f"-DCMAKE_PREFIX_PATH={PURELIB};{PURELIB}/cmeel.prefix",
        f"-DCMAKE_INSTALL_PREFIX={folder / 'prefix'}",
    )  # fmt: skip
    run(cmake(), "--build", folder / "build", "--parallel", os.cpu_count() or 1)
    return folder


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> tuple[Path, sc.Rig, np.ndarray]:
    """Tables of a run in front of 8 cameras: keypoints.csv, lenses.csv; with them the true cameras and points."""
    folder = tmp_path_factory.mktemp("data")
    rig, keypoints, X = scene(8, 60, 4, distortion=(-0.12, 0.05, 1e-3, -5e-4, 0.01), sigma_px=1.5, outliers=0.05)
    write_keypoints_csv(keypoints.replace(names=rig.names), folder / "keypoints.csv")
    write_cameras_csv(sc.Rig(tuple(c.replace(R=np.eye(3), t=np.zeros(3)) for c in rig)), folder / "lenses.csv")
    return folder, rig, X


def check_examples(build: Path, filmed: tuple[Path, sc.Rig, np.ndarray], out: Path) -> None:
    folder, rig, X = filmed
    a, b = rig[0], rig[3]
    metres = float(np.linalg.norm(a.center_world - b.center_world))
    said = run(
        build / "calibrate_file", folder / "keypoints.csv", folder / "lenses.csv", out / "cameras.csv", "--distance",
        a.name, b.name, metres,
    )  # fmt: skip
    assert "8 cameras" in said and "unit: metre" in said
    found = read_cameras_csv(out / "cameras.csv")
    errors = camera_errors(found.R, found.t, rig.R, rig.t)
    assert errors.relative_rotation_max_deg < 0.3
    assert np.max(errors.centre_mm) < 30
    assert abs(errors.similarity.scale - 1) < 0.005  # the distance that was given made it metric
    np.testing.assert_allclose(found[0].R, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(found[0].t, 0, atol=1e-9)

    write_cameras_csv(rig, out / "true.csv")
    said = run(
        build / "live_triangulate", out / "true.csv", folder / "keypoints.csv", out / "points.csv", "--repeat", 20
    )
    assert "17 joints, 8 cameras, 1200 frames" in said
    assert "allocations while streaming: 0\n" in said
    median = re.search(r"median ([\d.]+)", said)
    assert median and float(median[1]) < 1000, said  # us; a tenth of a frame of a fast camera, whatever else runs here
    lines = (out / "points.csv").read_text().splitlines()
    assert lines[0] == "frame,joint,x_m,y_m,z_m,sigma_m"
    rows = [line.split(",") for line in lines[1:]]
    index = {name: j for j, name in enumerate(sc.skeletons.H36M17.joints)}
    off = np.array([np.array(r[2:5], float) - X[int(r[0]), index[r[1]]] for r in rows])
    assert len(rows) > 0.98 * X.shape[0] * X.shape[1]
    assert np.sqrt((off**2).sum(1).mean()) < 0.02
    assert 0.0005 < np.median([float(r[5]) for r in rows]) < 0.02


@pytest.mark.slow
def test_add_subdirectory_and_the_examples(as_source, filmed, tmp_path):
    """Configuring also checks that nothing of the parent's was changed."""
    assert "sportcore 0." in run(as_source / "build" / "consumer")
    check_examples(as_source / "build" / "examples", filmed, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64" or shutil.which("objdump") is None, reason="needs objdump, x86-64")
def test_only_the_kernels_made_for_it_use_more_than_the_baseline(as_source):
    said = run(sys.executable, ROOT / "cmake" / "check_isa.py", as_source / "build")
    assert int(said.split()[0]) > 20


@pytest.mark.slow
def test_consumer_of_cmake_install_and_the_examples(as_source, filmed, tmp_path):
    run(cmake(), "--install", as_source / "build")
    moved = shutil.move(as_source / "prefix", tmp_path / "moved")  # it can be moved
    assert "sportcore 0." in build_and_run(Path(moved), tmp_path / "consumer")
    assert "in C" in build_and_run(Path(moved), tmp_path / "c", CONSUMER / "c")
    run(
        cmake(), "-S", ROOT / "examples" / "cpp", "-B", tmp_path / "examples", f"-DCMAKE_PREFIX_PATH={moved}",
        "-DCMAKE_BUILD_TYPE=Release",
    )  # fmt: skip
    run(cmake(), "--build", tmp_path / "examples", "--parallel", 2)
    check_examples(tmp_path / "examples", filmed, tmp_path)


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
