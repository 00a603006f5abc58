"""CUDA code where no device is needed: every kernel compiles for both architectures and keeps to its registers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "cuda").glob("*.cu"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")
@pytest.mark.skipif(not SOURCES, reason="not a source tree")
@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_no_kernel_spills_to_local_memory(source, tmp_path):
    """ptxas reports for each entry function the bytes it spills; all must be 0 (sm_80 and sm_90)."""
    text = (ROOT / "cpp/include/sportcore/version.h.in").read_text()
    version = tmp_path / "sportcore" / "version.h"
    version.parent.mkdir()
    version.write_text(re.sub(r"@\w+@", "0", text))
    report = subprocess.run(
        [
            "nvcc", "-std=c++17", "-O3", "--expt-relaxed-constexpr", "-Xptxas", "-v", "--threads", "2",
            "-gencode", "arch=compute_80,code=sm_80", "-gencode", "arch=compute_90,code=sm_90",
            "-I", str(ROOT / "cpp/include"), "-I", str(ROOT / "cpp/src"), "-I", str(tmp_path),
            "-c", str(source), "-o", str(tmp_path / "kernel.o"),
        ],
        check=True, capture_output=True, text=True, timeout=300,
    ).stderr  # fmt: skip
    spills = [tuple(map(int, m)) for m in re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)]
    entries = re.findall(r"Compiling entry function", report)
    assert len(spills) >= len(entries)
    if source.stem not in ("device",):
        assert entries, "no kernel was found in the report"
    assert all(s == (0, 0) for s in spills), report
