"""Motion clips: what is written is what is read; the shipped motion is there and plausible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sportcore.datasets.mocap import Clip, Mocap, excerpt, load_mocap, save_mocap, shipped_motion
from sportcore.errors import InputError
from sportcore.skeletons import H36M17


def test_clips_survive_a_file_to_the_half_millimetre(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = tuple(Clip(n, rng.normal(size=(50, 17, 3)).astype(np.float32) * 0.01) for n in ("a", "b"))
    path = save_mocap(Mocap(clips, 30.0), tmp_path / "some_30hz.npz")
    again = load_mocap(path)
    assert again.fps == 30.0 and [c.name for c in again.clips] == ["a", "b"]
    for mine, theirs in zip(clips, again.clips, strict=True):
        assert np.abs(mine.points_world_m - theirs.points_world_m).max() <= 0.00051
    with pytest.raises(InputError, match="frame rate"):
        save_mocap(Mocap(clips, 30.0), tmp_path / "some.npz")


def test_an_excerpt_is_the_middle_of_every_clip() -> None:
    ramp = np.zeros((100, 17, 3), np.float32)
    ramp[:, :, 0] = np.arange(100)[:, None] * 0.001
    short = excerpt(Mocap((Clip("long", ramp), Clip("short", ramp[:5])), 10.0), 2.0)
    assert [c.n_frames for c in short.clips] == [20, 5]
    np.testing.assert_array_equal(short.clips[0].points_world_m, ramp[40:60])


def test_the_shipped_motion_is_small_varied_and_human() -> None:
    path = shipped_motion()
    assert path.stat().st_size < 1_500_000
    motion = load_mocap(path)
    assert len(motion) > 100 and 120 < motion.n_frames / motion.fps < 300
    limbs = [(a, b) for a, b in H36M17.bones if a.endswith(("hip", "knee", "shoulder", "elbow"))]
    a, b = (np.array([H36M17.index(bone[i]) for bone in limbs]) for i in (0, 1))
    for clip in motion.clips:
        length = np.linalg.norm(clip.points_world_m[:, a] - clip.points_world_m[:, b], axis=-1)
        assert (np.ptp(length, axis=0) < 0.02).all(), clip.name
        assert 0.2 < length.min() and length.max() < 0.5
