"""The environment of the peers: a folder of its own, never the project's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINS = HERE / "requirements.txt"
FORBIDDEN = ("nvidia", "cuda", "torch", "triton")


class EnvironmentFailed(RuntimeError):
    """The environment could not be made; the message says why."""


def python_of(folder: Path) -> Path:
    """The interpreter of an environment, on any system."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def unwanted(report: str) -> list[str]:
    """What pip means to install and must not, from the output of ``pip install --dry-run``."""
    lines = [line for line in report.splitlines() if line.startswith("Would install ")]
    names = " ".join(lines).removeprefix("Would install ").split()
    return [n for n in names if n.lower().startswith(FORBIDDEN)]


def ensure(folder: Path, say=print) -> Path:
    """Have the peers installed under ``folder`` (about 1.7 GB); returns the interpreter.

    Asks pip first what it would fetch and stops if CUDA or torch were among it.

    Raises:
        EnvironmentFailed: no network, a version that is gone, or something unwanted.
    """
    python, stamp = python_of(folder), folder / ".peers"
    if stamp.is_file() and stamp.read_text() == PINS.read_text() and python.is_file():
        return python
    say(f"Making {folder} for the peers (about 1.7 GB, some minutes) ...")
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install"]
    report = _run([*pip, "--dry-run", "-r", str(PINS)])
    bad = unwanted(report)
    if bad:
        raise EnvironmentFailed(f"pip would install {', '.join(bad)}; nothing was installed. See {PINS}.")
    _run([*pip, "--quiet", "-r", str(PINS)])
    if subprocess.run([str(python), "-c", "import cv2"], capture_output=True).returncode:
        say("No libGL here: taking the headless OpenCV ...")
        _run([str(python), "-m", "pip", "uninstall", "-q", "-y", "opencv-python", "opencv-contrib-python"])
        _run([*pip, "--quiet", "--no-deps", "opencv-contrib-python-headless"])
    stamp.write_text(PINS.read_text())
    return python


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise EnvironmentFailed(f"{' '.join(command[:6])} ... failed:\n{tail}")
    return done.stdout
