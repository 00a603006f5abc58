"""The tables of docs/conventions.md and docs/formats.md say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import sportcore as sc
from sportcore.io import keypoints as keypoint_files
from sportcore.io import load_npz, rigs, write_points3d_npz
from sportcore.skeletons import BLAZEPOSE33, BODY25, COCO17, H36M17, HALPE26

DOCS = Path(__file__).parent.parent / "docs"


def rows(name: str, first_cell: str) -> list[list[str]]:
    """Cells of the table rows whose first cell matches."""
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [c for c in cells if re.fullmatch(first_cell, c[0])]


def test_skeleton_table() -> None:
    table = [r for r in rows("conventions.md", r"\d+") if len(r) == 5]
    assert len(table) == 26
    for column, skeleton in enumerate((H36M17, COCO17, HALPE26, BODY25), start=1):
        named = [r[column].replace(" ", "_") for r in table if r[column]]
        assert tuple(named) == skeleton.joints
    text = (DOCS / "conventions.md").read_text(encoding="utf-8").replace("\n", " ")
    listed = re.findall(r"\d+ ([a-z ]+)[,.]", text.split("`blazepose33`:")[1].split("##")[0])
    assert tuple(n.replace(" ", "_") for n in listed) == BLAZEPOSE33.joints


def test_status_table() -> None:
    table = {int(r[0]): r[1] for r in rows("conventions.md", r"\d+") if len(r) == 3}
    assert table == {int(s): s.name.lower() for s in sc.PointStatus}


def test_projection_as_written() -> None:
    """u = fx a + cx with a = x/z, and the camera stands at -R.T t."""
    R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    camera = sc.Camera("a", (100, 80), [[50, 0, 49.5], [0, 60, 39.5], [0, 0, 1]], (), "pinhole", R, [0, 1, 4])
    x = camera.R @ [0.4, 0, 1.5] + camera.t
    pixel = camera.P @ [0.4, 0, 1.5, 1]
    np.testing.assert_allclose(pixel[:2] / pixel[2], [50 * x[0] / x[2] + 49.5, 60 * x[1] / x[2] + 39.5])
    np.testing.assert_allclose(camera.center_world, -R.T @ [0, 1, 4])


def test_every_array_of_points3d_is_described(tmp_path: Path) -> None:
    n = np.zeros((2, 33))
    points = sc.Points3D(
        np.zeros((2, 33, 3)),
        np.zeros((2, 33, 3, 3)),
        n[None],
        n[None] > 0,
        n.astype(int),
        n,
        "blazepose33",
        60.0,
        [0, 1],
    )
    path = write_points3d_npz(points, tmp_path / "p.npz", camera_names=("a",))
    described = set(
        re.findall(r"`(\w+)`", (DOCS / "formats.md").read_text(encoding="utf-8").split("### points3d.npz")[1])
    )
    assert set(load_npz(path)) <= described


@pytest.mark.parametrize("name", sorted({*rigs.WRITE_FORMATS} - {"pose2sim"}))
def test_written_camera_formats_are_described(name: str) -> None:
    assert f'format="{name}"' in (DOCS / "formats.md").read_text(encoding="utf-8")


def test_read_formats_are_described() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8").lower()
    names = {*rigs.READ_FORMATS, *keypoint_files.READ_FORMATS}
    assert [n for n in names if n not in text.replace(" ", "")] == []
