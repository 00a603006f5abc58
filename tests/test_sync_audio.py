"""Offsets from sound: real files, coded with AAC, of one hall heard by several microphones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve

from sportcore.errors import InputError
from sportcore.sync import audio_offsets, metadata_offsets

av = pytest.importorskip("av")

RATE = 48000


def hall(seed: int, seconds: float, claps: int) -> np.ndarray:
    """Claps, steps and voices, as one would hear them next to the athlete."""
    rng = np.random.default_rng(seed)
    x = np.zeros(int(seconds * RATE))

    def burst(at: float, length_s: float, decay_s: float, level: float) -> None:
        k, n = int(at * RATE), int(length_s * RATE)
        x[k : k + n] += level * rng.normal(size=n) * np.exp(-np.arange(n) / (decay_s * RATE))

    for at in np.linspace(1.0, seconds - 1.5, claps) + rng.uniform(-0.2, 0.2, claps):
        burst(at, 0.03, 0.004, 1.0)
    for at in rng.uniform(0.2, seconds - 0.3, int(3 * seconds)):
        burst(at, 0.1, 0.02, rng.uniform(0.01, 0.08))
    return x


def microphone(world: np.ndarray, seed: int, gain: float, noise: float, distance_m: float = 0.0) -> np.ndarray:
    """What a microphone makes of it: the way of the sound, an echoing hall, hiss, its own loudness."""
    rng = np.random.default_rng(seed)
    n = int(0.4 * RATE)
    room = 0.02 * rng.normal(size=n) * np.exp(-np.arange(n) * 6.9 / n)
    room[0] = 1.0
    y = fftconvolve(world, room)[: len(world)]
    late = int(round(distance_m / 343.0 * RATE))
    y = np.concatenate([np.zeros(late), y])[: len(world)]
    return gain * (y + noise * rng.normal(size=len(y)))


def write_video(path, sound, *, seconds, sound_start_s=0.0, picture_start_s=0.0, metadata=None, rate=RATE):
    """A small MP4: 25 pictures a second from picture_start_s, sound (n,) from sound_start_s, AAC; None: no sound."""
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata or {})
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = None
        if sound is not None:
            audio = out.add_stream("aac", rate=rate)
            audio.layout = "mono"
        image = np.zeros((48, 64, 3), np.uint8)
        for k in range(int(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = k + round(picture_start_s * 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            data = np.ascontiguousarray(sound[None].astype(np.float32))
            for lo in range(0, data.shape[1], 1024):
                frame = av.AudioFrame.from_ndarray(data[:, lo : lo + 1024], format="fltp", layout="mono")
                frame.sample_rate = rate
                frame.pts = lo + round(sound_start_s * rate)
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))


def record(folder, late, *, claps=3, seconds=8.0, noise=0.01, distances=None, seed=0):
    """Files of cameras that start late[c] seconds into the world."""
    world = hall(seed, seconds + max(late) + 1, claps)
    files = {}
    for c, start in enumerate(late):
        distance = 0.0 if distances is None else distances[c]
        y = microphone(world, 50 * seed + c, gain=10 ** (-0.7 * c), noise=noise, distance_m=distance)
        k = int(round(start * RATE))
        files[f"cam{c + 1}"] = folder / f"cam{c + 1}.mp4"
        write_video(files[f"cam{c + 1}"], y[k : k + int(seconds * RATE)], seconds=seconds)
    return files


@pytest.mark.parametrize(("claps", "noise"), [(3, 0.01), (3, 0.03), (0, 0.003)])
def test_offsets_of_coded_sound(tmp_path, claps, noise):
    late = (0.4, 1.9, 0.0, 0.7321)
    report = audio_offsets(record(tmp_path, late, claps=claps, noise=noise))
    np.testing.assert_allclose(report.offsets_s, np.array(late) - late[0], atol=0.002)
    assert report.sure and all(0.0085 < c.sigma_s < 0.011 for c in report.cameras[1:])  # 3 m of way that nobody told
    assert all(c.source == "audio" and c.confidence > 0.4 for c in report.cameras[1:])


def test_the_way_of_the_sound_is_known_or_doubted(tmp_path):
    distances = {"cam1": 2.0, "cam2": 9.0}
    files = record(tmp_path, (0.0, 0.5), distances=list(distances.values()))
    plain = audio_offsets(files).camera("cam2")
    assert plain.offset_s == pytest.approx(0.5 - 7.0 / 343, abs=0.002)
    assert abs(plain.offset_s - 0.5) < 3 * plain.sigma_s
    told = audio_offsets(files, distances_m=distances).camera("cam2")
    assert told.offset_s == pytest.approx(0.5, abs=0.002) and told.sigma_s < 0.002
    with pytest.raises(InputError, match="cam9"):
        audio_offsets(files, distances_m={"cam9": 1.0})


def test_tracks_that_do_not_start_together(tmp_path):
    """Sound or pictures that begin late in the file count by their time stamps; so does the lead-in of the encoder."""
    world = hall(3, 10.0, 3)
    y = [microphone(world, c, 1.0, 0.01) for c in range(3)]
    write_video(tmp_path / "a.mp4", y[0][: 8 * RATE], seconds=8)
    write_video(tmp_path / "b.mp4", y[1][RATE // 4 : 8 * RATE], seconds=8, sound_start_s=0.25)
    write_video(tmp_path / "c.mp4", y[2][: 8 * RATE], seconds=7, picture_start_s=0.4)
    report = audio_offsets([tmp_path / f"{n}.mp4" for n in "abc"])
    np.testing.assert_allclose(report.offsets_s, [0.0, 0.0, 0.4], atol=0.002)


def test_other_sample_rates(tmp_path):
    world = hall(4, 9.0, 3)
    write_video(tmp_path / "a.mp4", microphone(world, 0, 1.0, 0.01)[: 7 * RATE], seconds=7)
    other = microphone(world, 1, 0.2, 0.01)[RATE // 2 :: 3][: 7 * RATE // 3]
    write_video(tmp_path / "b.mp4", other, seconds=7, rate=RATE // 3)
    assert audio_offsets([tmp_path / "a.mp4", tmp_path / "b.mp4"]).offsets_s[1] == pytest.approx(0.5, abs=0.002)


def test_nothing_in_common_is_told_and_not_guessed(tmp_path):
    files = record(tmp_path, (0.0, 0.5))
    for name, sound in (
        ("silent", np.zeros(8 * RATE)),
        ("none", None),
        ("elsewhere", microphone(hall(99, 9.0, 3), 1, 1.0, 0.01)[: 8 * RATE]),
        ("short", microphone(hall(0, 9.0, 3), 1, 1.0, 0.01)[: RATE // 4]),
    ):
        files[name] = tmp_path / f"{name}.mp4"
        write_video(files[name], sound, seconds=8)
    report = audio_offsets(files)
    assert report.camera("cam2").offset_s == pytest.approx(0.5, abs=0.002)
    for name, why in (("silent", "no sound"), ("none", "no sound"), ("elsewhere", "no clear"), ("short", "no clear")):
        camera = report.camera(name)
        assert camera.offset_s is None and why in camera.reason and camera.confidence == 0.0, name
    assert not report.sure and np.isnan(report.offsets_s).sum() == 4
    first_silent = audio_offsets({"none": files["none"], "cam1": files["cam1"], "cam2": files["cam2"]})
    assert all(c.offset_s is None and "none" in c.reason for c in first_silent.cameras[1:])


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(InputError, match="bad.mp4"):
        audio_offsets([tmp_path / "bad.mp4"])
    with pytest.raises(InputError, match="missing.mp4"):
        audio_offsets([tmp_path / "missing.mp4"])
    with pytest.raises(InputError, match="No video"):
        audio_offsets([])


def test_time_codes_and_hours(tmp_path):
    from sportcore._sync_metadata import time_code_s

    assert time_code_s("01:00:00:00", 25.0) == 3600.0
    assert time_code_s("00:00:01:05", 25.0) == pytest.approx(1.2)
    assert time_code_s("00:10:00;00", 30000 / 1001) == pytest.approx(600.0, abs=0.02)  # SMPTE drop frame keeps the hour
    assert time_code_s("later", 25.0) is None
    for name, made in (("a", "2026-05-01T10:00:00Z"), ("b", "2026-05-01T10:00:07Z"), ("c", None)):
        write_video(tmp_path / f"{name}.mp4", None, seconds=1, metadata={"creation_time": made} if made else None)
    report = metadata_offsets([tmp_path / f"{n}.mp4" for n in "abc"])
    assert report.cameras[1].offset_s == 7.0 and not report.cameras[1].sure and "second" in report.cameras[1].reason
    assert report.cameras[2].offset_s is None
