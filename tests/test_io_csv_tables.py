"""Keypoints and cameras as plain tables: what is written comes back, and damage is named."""

from __future__ import annotations

import numpy as np
import pytest

import sportcore as sc
from sportcore.io import read_cameras_csv, read_keypoints_csv, write_cameras_csv, write_keypoints_csv
from sportcore.synthetic import ring_cameras


def keypoints(skeleton: str = "h36m17") -> sc.Keypoints2D:
    rng = np.random.default_rng(3)
    xy = rng.uniform(0, 1900, (3, 5, 17, 2))
    xy[1, 2, :4] = np.nan
    score = np.where(np.isfinite(xy).all(-1), rng.uniform(0.2, 1, xy.shape[:3]), 0)
    return sc.Keypoints2D(xy, score, skeleton, names=("left side", "cam-2", "é"))


def test_keypoints_come_back(tmp_path):
    k = keypoints()
    back = read_keypoints_csv(write_keypoints_csv(k, tmp_path / "k.csv"), fps=50)
    assert back.skeleton.joints == k.skeleton.joints and back.names == k.names and back.fps == 50
    np.testing.assert_array_equal(back.xy, k.xy)
    np.testing.assert_array_equal(back.score, k.score)
    text = (tmp_path / "k.csv").read_text(encoding="utf-8").splitlines()
    assert text[0] == "camera,frame,joint,x_px,y_px,score" and len(text) == 1 + 3 * 5 * 17 - 4
    (tmp_path / "shuffled.csv").write_text("\n".join([text[0], *text[:0:-1], ""]), encoding="utf-8")
    turned = read_keypoints_csv(tmp_path / "shuffled.csv", skeleton="h36m17")
    np.testing.assert_array_equal(turned.xy[::-1], k.xy)


def test_joints_of_no_known_skeleton_keep_their_names(tmp_path):
    path = tmp_path / "k.csv"
    path.write_text("camera,frame,joint,x_px,y_px,score\na,0,tail,1,2,0.5\nb,3,nose,3,4,1\n")
    k = read_keypoints_csv(path)
    assert k.skeleton.joints == ("tail", "nose") and k.xy.shape == (2, 4, 2, 2)
    assert k.score[0, 0, 0] == 0.5 and np.isnan(k.xy[0, 3]).all()
    with pytest.raises(sc.InputError, match="tail"):
        read_keypoints_csv(path, skeleton="h36m17")


@pytest.mark.parametrize(
    "model, n", [("pinhole", 0), ("brown", 0), ("brown", 4), ("brown", 5), ("brown", 8), ("fisheye", 4)]
)
def test_cameras_come_back(tmp_path, model, n):
    distortion = np.array([-0.1, 0.02, 1e-3, -2e-3, 5e-3, 0.01, -0.01, 1e-3])[:n]
    rig = sc.Rig(tuple(c.replace(model=model, distortion=distortion) for c in ring_cameras(3, 1)))
    assert all(a == b for a, b in zip(read_cameras_csv(write_cameras_csv(rig, tmp_path / "c.csv")), rig, strict=True))


def test_names_that_need_quotes_are_refused(tmp_path):
    with pytest.raises(sc.InputError, match="quotes"):
        write_keypoints_csv(keypoints().replace(names=("a,b", "c", "d")), tmp_path / "k.csv")
    rig = ring_cameras(2, 1)
    with pytest.raises(sc.InputError, match="quotes"):
        write_cameras_csv(sc.Rig((rig[0].replace(name='a"'), rig[1])), tmp_path / "c.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text, word",
    [
        ("x,y\n1,2\n", "first line"),
        ("camera,frame,joint,x_px,y_px,score\n", "no rows"),
        ("camera,frame,joint,x_px,y_px,score\na,0,nose,1,2\n", "line 2"),
        ("camera,frame,joint,x_px,y_px,score\na,0,nose,1,two,1\n", "two"),
        ("camera,frame,joint,x_px,y_px,score\na,0.5,nose,1,2,1\n", "whole numbers"),
        ("camera,frame,joint,x_px,y_px,score\na,-1,nose,1,2,1\n", "whole numbers"),
        ("camera,frame,joint,x_px,y_px,score\na,0,nose,inf,2,1\n", "finite"),
    ],
)
def test_damage_is_named(tmp_path, text, word):
    (tmp_path / "k.csv").write_text(text)
    with pytest.raises(sc.InputError, match=word):
        read_keypoints_csv(tmp_path / "k.csv")


def test_damaged_cameras_are_named(tmp_path):
    path = write_cameras_csv(ring_cameras(2, 1), tmp_path / "c.csv")
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    for column, value, word in (
        (3, "telescope", "telescope"),
        (4, "-5", "focal"),
        (16, "7", "rotation"),
        (8, "", "number"),
    ):
        wrong = list(cells)
        wrong[column] = value
        path.write_text("\n".join([lines[0], ",".join(wrong)]))
        with pytest.raises(sc.InputError, match=word):
            read_cameras_csv(path)
