"""What detectors hand on, how they are found by name, and several videos at once."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from sportcore.errors import InputError
from sportcore.keypoints2d import (
    Collector,
    Detections,
    Detector,
    detect_videos,
    detector_names,
    make_detector,
    register_detector,
    registry,
)
from sportcore.keypoints2d import batch as batch_module
from sportcore.keypoints2d.detector import Progress, spans
from sportcore.skeletons import COCO17, Skeleton
from sportcore.videos import Frame, VideoReader

DOCS = Path(__file__).parent.parent / "docs" / "detectors.md"
DOT = Skeleton("dot", ("lamp",), ())


def frames(n: int, size: tuple[int, int] = (64, 48)) -> list[Frame]:
    return [Frame(i, i / 50, np.zeros((size[1], size[0], 3), np.uint8)) for i in range(n)]


def detections(n: int = 6, **changes: object) -> Detections:
    rng = np.random.default_rng(0)
    xy, score = rng.uniform(0, 40, (n, 17, 2)), rng.uniform(0.1, 1, (n, 17))
    xy[2], score[2] = np.nan, 0
    values: dict[str, object] = {
        "skeleton": COCO17, "image_size": (64, 48), "xy": xy, "score": score, "times_s": np.arange(n) / 50,
        "n_persons": np.ones(n, int), "present": np.arange(n) != 2,
    }  # fmt: skip
    return Detections(**{**values, **changes})  # type: ignore[arg-type]


# --- Detections and Collector -------------------------------------------------------------------------------------


def test_detections_are_checked_and_read_only() -> None:
    found = detections()
    assert found.n_frames == 6 and found.fps == pytest.approx(50)
    with pytest.raises(ValueError, match="read-only"):
        found.xy[0] = 0
    with pytest.raises(InputError, match=r"xy has shape \(6, 16, 2\)"):
        detections(xy=np.zeros((6, 16, 2)))
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        detections(score=np.full((6, 17), 1.5))
    with pytest.raises(InputError, match="must be 0 where xy is missing"):
        detections(score=np.full((6, 17), 0.5))
    with pytest.raises(InputError, match="come together"):
        detections(masks=np.zeros((6, 8, 8), np.uint8))


def test_input_arrays_are_not_touched() -> None:
    xy = np.ones((6, 17, 2))
    found = detections(xy=xy, score=np.ones((6, 17)))
    xy[:] = 7
    assert np.all(found.xy == 1)


@pytest.mark.parametrize("rich", [False, True])
def test_save_and_load(rich: bool, tmp_path: Path) -> None:
    extra: dict[str, object] = {}
    if rich:
        extra = {
            "world_m": np.random.default_rng(1).normal(size=(6, 17, 3)), "masks": np.full((6, 8, 8), 3, np.uint8),
            "image_from_crop": np.zeros((6, 2, 3)), "warnings": ("no person in 1 of 6 frames (2)",),
        }  # fmt: skip
    found = detections(**extra)
    found.save(tmp_path / "d.npz")
    again = Detections.load(tmp_path / "d.npz")
    for name in ("xy", "score", "times_s", "n_persons", "present", "counted", "world_m", "masks", "image_from_crop"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert again.skeleton is COCO17 and again.image_size == (64, 48) and again.warnings == found.warnings
    own = Detections(DOT, (64, 48), np.zeros((1, 1, 2)), np.ones((1, 1)), [0.0], [1], [True])  # type: ignore[arg-type]
    own.save(tmp_path / "own.npz")
    assert Detections.load(tmp_path / "own.npz").skeleton.joints == ("lamp",)


def test_load_refuses_other_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(InputError, match="other.npz"):
        Detections.load(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InputError, match="text.npz"):
        Detections.load(tmp_path / "text.npz")
    found = detections()
    found.save(tmp_path / "d.npz")
    data = dict(np.load(tmp_path / "d.npz"))
    data["joints"] = data["joints"][::-1]
    np.savez(tmp_path / "swapped.npz", **data)
    with pytest.raises(InputError, match="joints are not those"):
        Detections.load(tmp_path / "swapped.npz")


def test_collector_marks_what_is_missing() -> None:
    out = Collector(Skeleton("three", ("a", "b", "c"), ()), (64, 48), [])
    a, b, c = frames(3)
    out.add(a, np.array([[1.0, 2.0], [np.nan, 5.0], [70.0, 2.0]]), np.array([0.5, 0.9, 0.9]), n_persons=2)
    out.add(b, np.array([[1.0, 2.0], [3.0, 4.0], [63.4, 47.4]]), np.array([2.0, -1.0, np.nan]))
    out.add(c, None, n_persons=0)
    found = out.result()
    np.testing.assert_allclose(found.score, [[0.5, 0, 0], [1.0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(np.isnan(found.xy).all(-1), [[0, 1, 1], [0, 1, 1], [1, 1, 1]])
    assert found.n_persons.tolist() == [2, 2, 0], "a count holds until the next one"
    assert found.present.tolist() == [True, True, False]
    assert found.counted is not None and found.counted.tolist() == [True, False, True]
    assert len(found.warnings) == 2


def test_collector_of_nothing() -> None:
    found = Collector(COCO17, (64, 48), []).result()
    assert found.n_frames == 0 and found.xy.shape == (0, 17, 2) and np.isnan(found.fps)
    with pytest.raises(InputError):
        found.require_person("nothing")


def test_spans() -> None:
    assert spans(np.array([1])) == "1"
    assert spans(np.array([1, 2, 3, 7, 9, 10])) == "1-3, 7, 9-10"
    assert spans(np.arange(0, 20, 2)) == "0, 2, 4, 6, ..."


# --- by name ---------------------------------------------------------------------------------------------------------


def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of docs/detectors.md, as a file of its own."""
    code = next(b for b in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "class Brightest" in b)
    (tmp_path / "brightest.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("brightest", None)


def test_the_documented_backend_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example(tmp_path, monkeypatch)
    detector = make_detector("python:brightest:Brightest", threshold=100)
    assert isinstance(detector, Detector) and detector.version == "1;threshold=100"
    film = frames(4)
    for i in (0, 1, 3):
        film[i].image_rgb[10 + i, 20] = 200
    found = detector.detect_video(film, (64, 48))
    np.testing.assert_array_equal(found.xy[[0, 1, 3], 0], [[20, 10], [20, 11], [20, 13]])
    assert found.present.tolist() == [True, True, False, True]
    assert make_detector(detector) is detector
    assert make_detector("python:brightest:Brightest", num_threads=2).version == "1;threshold=128"
    with pytest.raises(InputError, match="no option 'treshold'"):
        make_detector("python:brightest:Brightest", treshold=3)
    monkeypatch.setattr(registry, "_FACTORIES", {})
    register_detector("brightest", sys.modules["brightest"].Brightest)
    assert make_detector("brightest").name == "brightest" and "brightest" in detector_names()
    with pytest.raises(InputError, match="a detector 'brightest' already"):
        register_detector("brightest", lambda: detector)
    with pytest.raises(InputError, match="a detector 'rtmlib' already"):
        register_detector("rtmlib", lambda: detector)


def test_unknown_names_and_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Unknown detector 'openpose'.*blazepose-heavy"):
        make_detector("openpose")
    with pytest.raises(InputError, match="cannot be imported"):
        make_detector("python:no_such_module:Thing")
    with pytest.raises(InputError, match="did not make a detector"):
        make_detector("python:collections:OrderedDict")
    with pytest.raises(InputError, match="is not a detector"):
        make_detector(42)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be the name"):
        register_detector("a:b", lambda: None)  # type: ignore[arg-type,return-value]


# --- several videos ------------------------------------------------------------------------------------------------


class Counting:
    """Says in each frame how many threads are at work; fails on request."""

    name, skeleton, version = "counting", DOT, "1"
    lock = threading.Lock()
    active = most = made = 0
    fail_at: int | None = None

    def __init__(self) -> None:
        type(self).made += 1

    def detect_video(
        self, frames: Iterable[Frame], image_size: tuple[int, int], *, progress: Progress | None = None
    ) -> Detections:
        out = Collector(self.skeleton, image_size, frames, progress)
        with self.lock:
            type(self).active += 1
            type(self).most = max(self.most, self.active)
        try:
            for frame in frames:
                time.sleep(0.004)
                if frame.index == self.fail_at:
                    raise RuntimeError("broken on purpose")
                out.add(frame, np.array([[float(frame.image_rgb.mean()) / 10, 0.0]]), n_persons=1)
        finally:
            with self.lock:
                type(self).active -= 1
        return out.result()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    Counting.active = Counting.most = Counting.made = 0
    monkeypatch.setattr(Counting, "fail_at", None)
    monkeypatch.setattr(registry, "_FACTORIES", {"counting": Counting})
    return Counting


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    paths = []
    for camera in range(3):
        path = tmp_path / f"cam{camera}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            picture = np.full((48, 64, 3), 60 + 60 * camera, np.uint8)
            for _ in range(10):
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        paths.append(path)
    return paths


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_videos_side_by_side(counting: type[Counting], clips: list[Path], workers: int) -> None:
    calls: list[tuple[int, int, str]] = []
    found = detect_videos(clips, "counting", workers=workers, progress=lambda *a: calls.append(a))
    assert [round(f.xy[0, 0, 0]) for f in found] == [6, 12, 18], "results keep the order of the files"
    assert all(f.n_frames == 10 for f in found)
    assert counting.most == min(workers, 3) == counting.made
    assert [c[0] for c in calls] == list(range(1, 31)) and {c[1] for c in calls} == {30}
    assert {c[2] for c in calls} == {"cam0.mp4", "cam1.mp4", "cam2.mp4"}


@pytest.mark.parametrize("workers", [1, 3])
def test_cancelling_stops_all(counting: type[Counting], clips: list[Path], workers: int) -> None:
    class Stop(Exception):
        pass

    seen: list[int] = []

    def progress(done: int, total: int, message: str) -> None:
        seen.append(done)
        if done >= 4:
            raise Stop

    with pytest.raises(Stop):
        detect_videos(clips, "counting", workers=workers, progress=progress)
    assert max(seen) == 4 and counting.active == 0


def test_failure_of_one_is_the_failure_of_all(
    counting: type[Counting], clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "fail_at", 3)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        detect_videos(clips, "counting", workers=3)
    assert counting.active == 0


def test_bad_files_are_told_before_work_starts(counting: type[Counting], clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match="empty.mp4"):
        detect_videos([*clips, tmp_path / "empty.mp4"], "counting")
    assert counting.made == 0
    with pytest.raises(InputError, match="No video"):
        detect_videos([], "counting")
    with pytest.raises(InputError, match="workers=0"):
        detect_videos(clips, "counting", workers=0)


def test_threads_are_shared_out(clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []

    def make(name: str, **options: object) -> Counting:
        given.append(options)
        return Counting()

    monkeypatch.setattr(batch_module, "make_detector", make)
    monkeypatch.setattr(batch_module, "cores", lambda: 6)
    detect_videos(clips, "blazepose-lite")
    assert given == [{"num_threads": 2}] * 3
    assert VideoReader(clips[0]).frame_count == 10
