"""The whole road on small sessions: it works, it remembers, it survives being killed, and it explains bad input."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import sportcore as sc
from sportcore.cli import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, EXIT_UNUSABLE, main
from sportcore.evaluation import camera_errors, pa_mpjpe
from sportcore.io.hashing import hash_arrays
from sportcore.synthetic import make_session

FAST = {
    "tune.iterations": 1, "finetune.epochs": 1, "finetune.clips_per_epoch": 16, "finetune.batch_size": 8,
    "report.pictures": 0,
}  # fmt: skip
FAST_ARGS = [f"--set={k}={v}" for k, v in FAST.items()]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic session with empty videos: the keypoints lie in files."""
    folder = tmp_path_factory.mktemp("template") / "session"
    made = make_session(folder, seed=3, frames=120, fps=60.0, cameras=4, videos=False, swaps=0.0)
    for name in made.rig.names:
        (folder / f"{name}.mp4").touch()
    return folder


@pytest.fixture
def session(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "session")
    return tmp_path / "session"


def change(session: Path, camera: str, edit: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Edit the keypoint file of one camera."""
    path = session / "keypoints2d" / f"{camera}.npz"
    data = dict(np.load(path))
    edit(data)
    np.savez(path, **data)


def cameras(session: Path) -> list[str]:
    return sorted(p.stem for p in (session / "keypoints2d").glob("*.npz"))


class Events:
    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []

    def event(self, stage: str, event: str, detail: str = "") -> None:
        self.log.append((stage, event))

    def progress(self, stage: str, done: int, total: int, message: str = "") -> None:
        return None

    def computed(self) -> set[str]:
        return {s for s, e in self.log if e == "done"}


def result_hash(session: Path) -> str:
    """Everything numeric that a run leaves behind."""
    out = session / "sportcore"
    points = np.load(out / "points3d.npz")
    tuned = (out / "lifter.safetensors").read_bytes()
    after = np.load(out / "monocular_after.npz")["poses_cam_m"]
    return hash_arrays(
        points["points_world_m"], points["covariance"], sc.read_rig(out / "Calib.toml").R, after,
        np.frombuffer(tuned[-4096:], np.uint8),
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session on which the whole road was run once."""
    folder = tmp_path_factory.mktemp("finished") / "session"
    shutil.copytree(template, folder)
    result = sc.run(folder, overrides=FAST)
    assert result.usable, result.verdict
    return folder


def test_the_road_recovers_cameras_and_motion(finished: Path) -> None:
    truth = np.load(finished / "truth.npz")
    out = finished / "sportcore"
    rig = sc.read_rig(out / "Calib.toml")
    errors = camera_errors(rig.R, rig.t, truth["R"], truth["t"])
    assert errors.relative_rotation_median_deg < 0.3
    points = np.load(out / "points3d.npz")
    assert points["points_world_m"].shape == (120, 17, 3) and list(points["joints"])[0] == "pelvis"
    assert np.isfinite(points["points_world_m"]).all(-1).mean() > 0.97
    assert float(pa_mpjpe(points["points_world_m"], truth["points_world_m"])) < 12
    # metres come from the stature, the vertical from the body
    height = np.nanmedian(points["points_world_m"][:, 10, 2])
    assert abs(height / np.median(truth["points_world_m"][:, 10, 2]) - 1) < 0.08
    assert 0 <= np.nanmin(points["points_world_m"][:, [3, 6], 2]) + 0.1 < 0.35


def test_everything_promised_is_written_and_consistent(finished: Path) -> None:
    out = finished / "sportcore"
    for name in (
        "Calib.toml", "points3d.npz", "points3d_h36m17.npz", "motion_h36m17.trc", "motion_h36m17.c3d",
        "lifter.safetensors", "monocular_before.npz", "monocular_after.npz", "summary.json", "report.html",
    ):  # fmt: skip
        assert (out / name).stat().st_size > 0, name
    summary = json.loads((out / "summary.json").read_text())
    assert summary["usable"] and summary["frames"] == 120
    assert set(summary["per_camera"]) == set(cameras(finished))
    for when in ("before", "after"):
        assert 5 < summary["monocular"][when]["pa_mpjpe_mm"] < 300
        assert summary["monocular"][when]["frames"] > 10
    assert 0 < summary["median_px"] < 5 and 0 < summary["limb_spread"] < 0.1


def test_a_second_run_computes_nothing_and_a_change_only_what_depends_on_it(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "session"
    shutil.copytree(finished, folder)
    events = Events()
    sc.run(folder, overrides=FAST, view=events)
    assert events.computed() <= {"report"}  # the report names the command; everything else stands
    events = Events()
    sc.run(folder, overrides={**FAST, "finetune.lr": 1e-4}, view=events)
    done = events.computed()
    assert "finetune-1" in done and "evaluate" in done
    assert not {"sync", "clean", "calibrate-1", "triangulate-1", "pseudolabel-1"} & done


@pytest.mark.slow
def test_killed_anywhere_it_resumes_and_gives_the_same_result(template: Path, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "session"
    shutil.copytree(template, folder)
    command = [sys.executable, "-m", "sportcore.cli", "run", str(folder), "-q", *FAST_ARGS]
    rng, kills = random.Random(0), 0
    for attempt in range(14):  # early at first, so that a fast machine is interrupted too
        process = subprocess.Popen(command)
        try:
            assert process.wait(timeout=rng.uniform(1.0, 3.0) * 1.15**attempt) == EXIT_OK
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    else:
        assert subprocess.run(command, check=False).returncode == EXIT_OK
    assert kills >= 1
    assert result_hash(folder) == result_hash(finished)


@pytest.mark.slow
def test_ctrl_c_stops_with_a_word_and_loses_nothing(session: Path) -> None:
    command = [sys.executable, "-m", "sportcore.cli", "run", str(session), *FAST_ARGS, "--set=finetune.epochs=500"]
    # what a shell starts in the background ignores Ctrl-C, and so would all that it starts
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    stages = session / "sportcore" / "stages"
    deadline = time.monotonic() + 120
    while not list(stages.glob("unfinished/finetune-1-*/state.pt")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == EXIT_INTERRUPTED and "Stopped" in err and "Traceback" not in err
    assert list(stages.glob("calibrate-1-*")) and not list(stages.glob("finetune-1-*"))
    assert list(stages.glob("unfinished/finetune-1-*/state.pt"))


def fails(session: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run until the cameras; expects a failure with one helpful line, and returns it."""
    code = main(["triangulate", str(session), "-q", *FAST_ARGS, *arguments])
    err = capsys.readouterr().err.strip()
    assert code in (EXIT_ERROR, EXIT_UNUSABLE), (code, err)
    assert err.startswith("sportcore: ") and "Traceback" not in err and len(err.splitlines()) == 1, err
    assert not list((session / "sportcore" / "stages").glob("triangulate-*")) or code == EXIT_UNUSABLE
    return err


def test_a_missing_video_is_named(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (session / "session.toml").write_text('[session]\nvideos = ["cam01.mp4", "gone.mp4"]\n')
    assert "gone.mp4" in fails(session, capsys)


@pytest.mark.parametrize("kind", ["empty", "text", "truncated"])
def test_a_file_that_is_no_video_is_named(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    whole = tmp_path / "whole"
    make_session(whole, seed=1, frames=12, fps=30.0, cameras=2, image_size=(320, 240))
    bad = tmp_path / "bad"
    bad.mkdir()
    data = (whole / "cam01.mp4").read_bytes()
    (bad / "cam01.mp4").write_bytes(data)
    wrong = {"empty": b"", "text": b"not a video " * 50, "truncated": data[: len(data) // 3]}
    (bad / "cam02.mp4").write_bytes(wrong[kind])
    assert "cam02.mp4" in fails(bad, capsys)


def test_different_frame_rates_are_refused_with_the_remedy(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def slower(d: dict[str, np.ndarray]) -> None:
        d["times_s"] = d["times_s"] * 2
        d["fps"] = d["fps"] / 2

    change(session, "cam02", slower)
    message = fails(session, capsys)
    assert "cam02" in message and "resample" in message


def test_different_lengths_are_refused_with_the_remedy(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shorter(d: dict[str, np.ndarray]) -> None:
        for key in ("xy", "score", "times_s"):
            d[key] = d[key][:70]

    change(session, "cam03", shorter)
    message = fails(session, capsys)
    assert "cam03" in message and "trim" in message


def test_no_person(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(session, "cam01", lambda d: d.update(xy=np.full_like(d["xy"], np.nan)))
    message = fails(session, capsys)
    assert "cam01" in message and "person" in message


def test_two_people(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(session, "cam04", lambda d: d.update(n_persons=np.full(len(d["xy"]), 2)))
    message = fails(session, capsys)
    assert "cam04" in message and "follow" in message
    assert main(["triangulate", str(session), "-q", *FAST_ARGS, "--set=detect.people=follow"]) == EXIT_OK


def test_a_person_who_stands_still(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "still"
    made = make_session(folder, seed=2, frames=90, fps=30.0, cameras=3, sport="stand_still", videos=False)
    for name in made.rig.names:
        (folder / f"{name}.mp4").touch()
    message = fails(folder, capsys)
    assert "still" in message or "move" in message


def test_a_camera_that_shares_nothing(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k, name in enumerate(cameras(session)):
        half = slice(0, 60) if k == 0 else slice(60, None)
        change(session, name, lambda d, half=half: d["xy"].__setitem__(half, np.nan))
    assert "cam01" in fails(session, capsys)


def test_wrong_intrinsics(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = sc.read_rig(session / "intrinsics.toml")
    K = rig.K.copy()
    K[:, 0, 0] *= 2.5
    K[:, 1, 1] *= 2.5
    sc.write_rig(sc.Rig([c.replace(K=K[i]) for i, c in enumerate(rig)]), session / "intrinsics.toml")
    message = fails(session, capsys)
    assert "focal" in message or "intrinsics" in message


def test_nan_everywhere(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in cameras(session):
        change(session, name, lambda d: d.update({k: np.full_like(d[k], np.nan) for k in ("xy", "score")}))
    assert "person" in fails(session, capsys)


def test_an_unknown_joint_order(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(session, "cam01", lambda d: d.update(skeleton=np.array("my-own-17")))
    assert "joint order" in fails(session, capsys)


def test_a_misspelt_option(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "height_m" in fails(session, capsys, "--set=athlete.hight_m=1.8")
    assert "max_reprojection_error_px" in fails(session, capsys, "--set=triangulate.max_reprojection_eror_px=9")


def test_a_full_disk_loses_nothing(template: Path, tmp_path: Path) -> None:
    """A limit on the size of files stops the run in the middle; without it the run goes on and ends well."""
    folder = tmp_path / "session"
    shutil.copytree(template, folder)
    command = [sys.executable, "-m", "sportcore.cli", "triangulate", str(folder), "-q", *FAST_ARGS]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_ERROR and "Nothing was lost" in done.stderr and "Traceback" not in done.stderr
    kept = {p.name for p in (folder / "sportcore" / "stages").glob("*-*")}
    assert kept and not any(p.startswith("triangulate") for p in kept)
    assert subprocess.run(command, capture_output=True, check=False).returncode == EXIT_OK
    assert kept <= {p.name for p in (folder / "sportcore" / "stages").glob("*-*")}


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs to mount a small file system")
def test_a_really_full_disk(template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(disk)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        shutil.copytree(template, disk / "session", ignore=shutil.ignore_patterns("truth*"))
        assert "full" in fails(disk / "session", capsys)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_one_video_takes_the_monocular_way(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in cameras(session)[1:]:
        (session / f"{name}.mp4").unlink()
    result = sc.run(session, overrides=FAST)
    assert result.usable and "One camera" in result.verdict
    out = session / "sportcore"
    poses = np.load(out / "monocular.npz")["poses_cam_m"]
    assert poses.shape == (1, 120, 17, 3) and np.abs(poses[0, :, 0]).max() < 0.2
    assert (out / "report.html").stat().st_size > 10_000 and (out / "motion_h36m17.trc").exists()
    assert "two" in fails(session, capsys)


def test_given_poses_are_used_as_they_are(session: Path) -> None:
    overrides = {**FAST, "cameras.poses": "file", "cameras.intrinsics": "truth_rig.toml"}
    sc.run(session, until="triangulate", overrides=overrides)
    sc.run(session, until="export", overrides=overrides)
    got, truth = sc.read_rig(session / "sportcore" / "Calib.toml"), sc.read_rig(session / "truth_rig.toml")
    np.testing.assert_allclose(got.R, truth.R, atol=1e-6)
    np.testing.assert_allclose(got.t, truth.t, atol=1e-6)


def test_help_of_every_verb_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("demo", "run", "detect", "calibrate", "triangulate", "lift", "pseudolabel", "finetune", "evaluate",
                 "export", "report", "batch", "view", "weights", "doctor", "pretrain", "sync"):  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0 and len(capsys.readouterr().out) > 200, verb


def test_doctor_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "C++ core" in capsys.readouterr().out


def test_poses_that_the_file_does_not_have_are_refused(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no pose" in fails(session, capsys, "--set=cameras.poses=file")
