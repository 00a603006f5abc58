"""Video reading: true times, rotation, damaged files."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sportcore import videos
from sportcore.errors import InputError
from sportcore.videos import VideoReader, find_videos, probe, timing

av = pytest.importorskip("av", reason="PyAV is not installed")

WIDTH, HEIGHT = 96, 64


def picture(index: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Red upper-left quarter, green lower-left quarter; the right half's grey tells the frame index."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2, 0] = 220
    image[height // 2 :, : width // 2, 1] = 220
    image[:, width // 2 :] = 20 + 10 * (index % 20)
    return image


def encode(
    path: Path,
    n: int = 12,
    fps: int = 30,
    *,
    times_ms: list[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    gop: int = 4,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 2_000_000
        stream.gop_size = gop
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[i], Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def grey_index(image: np.ndarray) -> int:
    return round((float(np.median(image[:, -4:])) - 20) / 10)


@pytest.fixture(params=["av", "opencv"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_frames_come_in_order_with_their_times(tmp_path: Path, backend: str) -> None:
    path = encode(tmp_path / "a.mp4", n=12, fps=30)
    reader = VideoReader(path, backend=backend)
    frames = list(reader)
    assert [f.index for f in frames] == list(range(12))
    assert [grey_index(f.image_rgb) for f in frames] == list(range(12))
    np.testing.assert_allclose(
        [f.time_s for f in frames], np.arange(12) / 30, atol=2e-3 if backend == "opencv" else 1e-6
    )
    assert frames[0].image_rgb.shape == (HEIGHT, WIDTH, 3) and frames[0].image_rgb.dtype == np.uint8
    assert reader.image_size == (WIDTH, HEIGHT)
    assert reader.fps == pytest.approx(30, rel=1e-3)
    assert len(reader) == reader.frame_count == 12
    assert reader.info.true_timestamps and not reader.info.truncated and reader.warnings == ()
    # red first: the channels are RGB, not BGR
    red = frames[0].image_rgb[5, 5].astype(int)
    assert red[0] > 150 and red[1] < 80 and red[2] < 80
    assert [f.index for f in reader] == list(range(12)), "a reader can be walked through twice"


def test_variable_frame_rate_gives_true_times(tmp_path: Path, backend: str) -> None:
    times = [0, 33, 67, 100, 150, 217, 250, 283, 400, 433]
    path = encode(tmp_path / "phone.mkv", n=len(times), times_ms=times)
    reader = VideoReader(path, backend=backend)
    np.testing.assert_allclose([f.time_s for f in reader], np.array(times) / 1000, atol=1.5e-3)
    assert reader.info.variable_frame_rate
    assert reader.info.missing_frames > 0
    assert reader.fps == pytest.approx(9 / 0.433, rel=0.01)
    assert any("frame rate varies" in w for w in reader.info.warnings)


def test_millisecond_clock_is_not_a_variable_rate(tmp_path: Path) -> None:
    times = [round(i * 1000 / 30) for i in range(20)]
    info = probe(encode(tmp_path / "a.mkv", n=20, times_ms=times))
    assert not info.variable_frame_rate and info.missing_frames == 0
    assert info.fps == pytest.approx(30, rel=2e-3)


def test_start_time_is_kept_apart(tmp_path: Path) -> None:
    times = [500 + 40 * i for i in range(8)]
    reader = VideoReader(encode(tmp_path / "late.mkv", n=8, times_ms=times))
    assert next(iter(reader)).time_s == 0.0
    assert reader.info.start_time_s == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotation_is_honoured(tmp_path: Path, backend: str, angle: int) -> None:
    """The display matrix of the file turns the stored picture counter-clockwise by ``angle``."""
    path = encode(tmp_path / f"r{angle}.mp4", n=4, rotation=angle)
    reader = VideoReader(path, backend=backend)
    turns = {90: 1, 180: 2, 270: 3}[angle]
    upright = np.rot90(picture(0), turns)
    assert reader.image_size == (upright.shape[1], upright.shape[0])
    frame = next(iter(reader)).image_rgb
    assert frame.shape == upright.shape
    assert np.abs(frame.astype(int) - upright.astype(int)).mean() < 12
    if backend == "av":
        assert reader.rotation == (360 - angle) % 360 and not reader.info.mirrored


def test_turn_of_every_quarter_turn_and_mirror() -> None:
    """All eight orientations of the display matrix against the matrix itself."""
    from sportcore import _video_av

    stored = np.arange(12).reshape(3, 4, 1)

    class Side:
        def __init__(self, m: list[float]) -> None:
            self.side_data = {"DISPLAYMATRIX": struct.pack("<9i", *(round(v * 65536) for v in m))}

    for a, b, c, d in [
        (1, 0, 0, 1),
        (-1, 0, 0, -1),
        (0, 1, -1, 0),
        (0, -1, 1, 0),
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, -1, -1, 0),
    ]:
        turn, leftover = _video_av._turn_of(Side([a, b, 0, c, d, 0, 0, 0, 1]))
        assert leftover == 0
        shown = _video_av._upright(stored, turn)
        # (p, q) -> (a p + c q, b p + d q), shifted back to non-negative indices
        for q in range(3):
            for p in range(4):
                x, y = a * p + c * q, b * p + d * q
                x += (3 if a < 0 else 0) + (2 if c < 0 else 0)
                y += (3 if b < 0 else 0) + (2 if d < 0 else 0)
                assert shown[y, x, 0] == stored[q, p, 0]
        assert _video_av._mirrored(turn) == (a * d - b * c < 0)
    turn, leftover = _video_av._turn_of(Side([0.7071, 0.7071, 0, -0.7071, 0.7071, 0, 0, 0, 1]))
    assert turn == (False, False, False) and leftover == pytest.approx(45)


def test_range_and_step(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    reader = VideoReader(path, start=2, stop=9, step=3)
    assert [f.index for f in reader] == [2, 5, 8] and len(reader) == 3
    assert grey_index(VideoReader(path).frame(7).image_rgb) == 7
    with pytest.raises(InputError, match="no frame 99"):
        VideoReader(path).frame(99)
    with pytest.raises(InputError, match="selects nothing"):
        VideoReader(path, start=5, stop=5)
    with pytest.raises(InputError, match="past its end"):
        VideoReader(path, start=50)


def test_probe_tells_the_file(tmp_path: Path) -> None:
    info = probe(encode(tmp_path / "a.mp4", n=30, fps=25))
    assert (info.container, info.codec, info.frame_count, info.declared_frame_count) == ("mp4", "mpeg4", 30, 30)
    assert info.duration_s == pytest.approx(1.2, abs=1e-3) and info.nominal_fps == 25 and not info.has_audio
    assert json.loads(json.dumps(info.to_dict()))["frame_count"] == 30


def test_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    encode(tmp_path / "cam01.mp4", n=2)
    with pytest.raises(InputError, match=r"no file .*cam1.mp4.*cam01.mp4"):
        probe(tmp_path / "cam1.mp4")
    with pytest.raises(InputError, match="is a folder"):
        probe(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "e.mp4").touch()
    with pytest.raises(InputError, match=r"e\.mp4 is empty"):
        probe(tmp_path / "e.mp4")


def test_no_video_at_all(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("this is a text about a video\n" * 50)
    with pytest.raises(InputError, match=r"notes\.mp4 (is not a video|has no video)") as caught:
        probe(path, backend=backend)
    assert caught.value.remedy


def test_still_picture_is_no_video(tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "still.png"
    cv2.imwrite(str(path), picture(0))
    with pytest.raises(InputError, match="only 1 frame can be decoded"):
        VideoReader(path)
    assert len(list(VideoReader(path, min_frames=1))) == 1


def test_sound_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for i in range(5):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 1024 * i
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    with pytest.raises(InputError, match="no video track"):
        probe(path)


def test_mp4_cut_off_without_index(tmp_path: Path, backend: str) -> None:
    path = encode(tmp_path / "cut.mp4", n=20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut\.mp4 .*cut off") as caught:
        probe(path, backend=backend)
    assert "untrunc" in caught.value.remedy


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_cut_off_file_gives_what_decodes(tmp_path: Path, kind: str) -> None:
    path = encode(tmp_path / f"cut.{kind}", n=60, options={"movflags": "faststart"} if kind == "mp4" else None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    info = probe(path)
    assert info.truncated and any("cut off" in w for w in info.warnings)
    reader = VideoReader(path)
    frames = list(reader)
    assert 10 < len(frames) < 60
    assert [f.index for f in frames] == list(range(len(frames)))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(len(frames)) / 30, atol=2e-3)
    assert [grey_index(f.image_rgb) for f in frames[:10]] == list(range(10))
    assert reader.warnings


def test_cut_off_after_one_frame_is_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "cut.mkv", n=60)
    data = path.read_bytes()
    sizes = [n for n in range(400, len(data), 100)]
    short = next(n for n in sizes if _frames_in(tmp_path, data[:n]) == 1)
    path.write_bytes(data[:short])
    with pytest.raises(InputError, match=r"cut\.mkv: only [01] frame"):
        list(VideoReader(path))


def _frames_in(folder: Path, data: bytes) -> int:
    path = folder / "try.mkv"
    path.write_bytes(data)
    try:
        with av.open(str(path)) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size and not packet.is_corrupt)
    except av.error.FFmpegError:
        return 0


def test_damage_in_the_middle_is_skipped(tmp_path: Path) -> None:
    path = encode(tmp_path / "bad.mp4", n=40, gop=5)
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for start, size in places[20:22]:
        data[start : start + size] = bytes(size)
    path.write_bytes(bytes(data))
    reader = VideoReader(path)
    frames = list(reader)
    assert 35 <= len(frames) < 40
    assert any("damaged" in w for w in reader.warnings)
    times = np.array([f.time_s for f in frames]) * 30
    np.testing.assert_allclose(times, np.rint(times), atol=1e-3)
    assert times[-1] == pytest.approx(39), "times stay true behind the gap"
    assert np.all(np.diff(times) > 0)


def test_image_size_that_changes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.mp4", n=4)
    reader = VideoReader(path)
    other = [videos.Frame(0, 0.0, picture(0)), videos.Frame(1, 0.1, picture(1, 48, 64))]
    monkeypatch.setattr(reader, "_decode", lambda notes: iter(other))
    with pytest.raises(InputError, match="frame 1 is 48x64 px"):
        list(reader)


def test_opencv_takes_over_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.mp4", n=6)
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "av" else real(name, *a))
    reader = VideoReader(path)
    assert reader.info.backend == "opencv" and len(list(reader)) == 6
    with pytest.raises(InputError, match="Unknown video backend"):
        probe(path, backend="quicktime")


def test_find_videos(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No video in"):
        find_videos(tmp_path)
    for name in ("cam2.MP4", "cam1.mov", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in find_videos(tmp_path)] == ["cam1.mov", "cam2.MP4"]
    with pytest.raises(InputError, match="not a folder"):
        find_videos(tmp_path / "none")


def test_timing_of_a_dropped_frame() -> None:
    times = np.delete(np.arange(50) / 60, [20, 21])
    timed = timing(times, 1e-5, 60.0)
    assert timed.variable and timed.missing == 2
    assert timed.duration_s == pytest.approx(50 / 60)
    regular = timing(np.arange(50) / 60, 1e-5, 60.0)
    assert not regular.variable and regular.missing == 0 and regular.fps == pytest.approx(60)


def test_constant_memory(tmp_path: Path) -> None:
    """Only the frames in flight exist: a walk holds no reference to earlier frames."""
    import gc
    import weakref

    class Alive:
        now: int = 0
        most: int = 0

    path = encode(tmp_path / "a.mp4", n=40)
    refs: list[weakref.ref[np.ndarray]] = []
    for frame in VideoReader(path):
        refs.append(weakref.ref(frame.image_rgb))
        del frame
        gc.collect()
        Alive.most = max(Alive.most, sum(r() is not None for r in refs))
    assert Alive.most <= 2
