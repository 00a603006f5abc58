"""How late each camera looks, from what its microphone heard.

The sound tracks are compared twice. First the onsets: rises of the logarithmic energy in eight bands, a hundred times a
second, which do not depend on loudness and hardly on the microphone, correlated over all lags. Then, around the best
lag, the waveforms themselves by generalised cross-correlation with phase transform in several stretches of the
recording (C. Knapp, G. Carter, "The generalized correlation method for estimation of time delay", IEEE Trans. ASSP 24,
1976), which keeps the first arrival sharp in a reverberant hall.

Sound needs 2.9 ms per metre. A camera that stands three metres further from the clap hears it 9 ms later, and nothing
in the sound tells. This goes into the stated uncertainty unless the distances are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sportcore._sync_offsets import correlation, peaks
from sportcore._sync_types import CameraOffset, OffsetReport, PairOffset
from sportcore.errors import InputError, require

Floats = NDArray[np.float64]

RATE = 16000
HOP = 160
SPEED_OF_SOUND_M_S = 343.0
DISTANCE_SIGMA_M = 3.0  # how much nearer to the sound one camera may stand than another, where nothing is known
_WINDOW = 512
_BANDS = 8
_STRETCH_S = 2.0
_STRETCHES = 12
_FINE_S = 0.03
_MIN_RATIO = 1.4  # the best lag over the second best
_MIN_HEIGHT = 10.0  # the best lag over the spread of all lags
_WHITEN = 0.8  # 1: phase alone; a little less forgives noise in the bands where there is no sound
_MIN_FINE = 5.0  # the same in the waveforms of a stretch


@dataclass(frozen=True, eq=False)
class Sound:
    """Mono samples at 16 kHz; ``start_s``: time of the first one, counted from the first picture of the video."""

    samples: NDArray[np.float32]
    start_s: float


def read_sound(path: str | Path) -> Sound | None:
    """The first sound track of a video on the time axis of its pictures; None where there is none or it is silent.

    Samples are placed by their presentation times, so edit lists, the lead-in of the encoder and lost packets are
    accounted for.

    Raises:
        InputError: the file cannot be opened.
        MissingExtraError: PyAV is not installed.
    """
    av = require("av", extra="detect")
    path = Path(path)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                return None
            zero = _first_picture_s(container)
            stream = container.streams.audio[0]
            container.seek(0)
            return _samples(av, container, stream, zero)
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Check the file.") from error


def _first_picture_s(container: Any) -> float:
    """Presentation time of the first picture, seconds; 0 without pictures."""
    if not container.streams.video:
        return 0.0
    stream = container.streams.video[0]
    best = None
    for n, packet in enumerate(container.demux(stream)):
        if packet.pts is not None and not packet.is_discard:
            best = packet.pts if best is None else min(best, packet.pts)
        if n > 32:  # pictures are stored out of order over a few packets only
            break
    return 0.0 if best is None else float(best * stream.time_base)


def _samples(av: Any, container: Any, stream: Any, zero: float) -> Sound | None:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    parts: list[tuple[float, NDArray[np.float32]]] = []
    clock = None  # where the next sample belongs
    for frame in _decoded(av, container, stream):
        if frame.pts is not None:
            told = float(frame.pts * frame.time_base) - zero
            if clock is None or abs(told - clock) > 0.01:
                if clock is not None:
                    _flush(resampler, parts)
                    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
                parts.append((told, np.zeros(0, np.float32)))
                clock = told
        elif clock is None:
            parts.append((0.0, np.zeros(0, np.float32)))
            clock = 0.0
        clock += frame.samples / frame.sample_rate
        frame.pts = None
        for out in resampler.resample(frame):
            parts.append((np.nan, out.to_ndarray().reshape(-1)))
    _flush(resampler, parts)
    if not parts:
        return None
    start = parts[0][0]
    pieces: list[tuple[int, NDArray[np.float32]]] = []
    at = 0
    for when, values in parts:
        if np.isfinite(when):
            at = int(round((when - start) * RATE))
        pieces.append((at, values))
        at += len(values)
    samples = np.zeros(max((a + len(v) for a, v in pieces), default=0), np.float32)
    for a, v in pieces:
        lo = max(0, -a)
        samples[a + lo : a + len(v)] = v[lo:]
    if not len(samples) or float(np.abs(samples).max()) < 1e-4:
        return None
    return Sound(samples, start)


def _decoded(av: Any, container: Any, stream: Any) -> Any:
    """Decoded frames; damaged packets are passed over."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _flush(resampler: Any, parts: list[tuple[float, NDArray[np.float32]]]) -> None:
    for out in resampler.resample(None):
        parts.append((np.nan, out.to_ndarray().reshape(-1)))


def onsets(sound: Sound, start_s: float, count: int) -> Floats:
    """Rises of the log energy in eight bands (8, count), a hundred a second from ``start_s``; NaN outside the track."""
    x = sound.samples.astype(float)
    n = max((len(x) - _WINDOW) // HOP + 1, 0)
    out = np.full((_BANDS, count), np.nan)
    if n < 4:
        return out
    edges = np.geomspace(150, 7000, _BANDS + 1)
    bins = np.round(edges / RATE * _WINDOW).astype(int)
    window = np.hanning(_WINDOW)
    energy = np.empty((_BANDS, n))
    for lo in range(0, n, 4096):
        hi = min(lo + 4096, n)
        frames = np.lib.stride_tricks.sliding_window_view(x, _WINDOW)[lo * HOP : (hi - 1) * HOP + 1 : HOP]
        power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
        for b in range(_BANDS):
            energy[b, lo:hi] = power[:, bins[b] : max(bins[b + 1], bins[b] + 1)].sum(1)
    floor = np.median(energy, axis=1, keepdims=True) * 0.1 + 1e-9
    level = np.log(energy + floor)
    rise = np.maximum(level[:, 2:] - level[:, :-2], 0.0)
    rise -= rise.mean(1, keepdims=True)
    spread = rise.std(1, keepdims=True)
    rise = np.where(spread > 1e-6, rise / np.maximum(spread, 1e-6), 0.0)
    first = sound.start_s + (_WINDOW / 2 + HOP) / RATE
    place = (start_s + np.arange(count) * HOP / RATE - first) / (HOP / RATE)
    low = np.floor(place).astype(int)
    inside = (low >= 0) & (low < rise.shape[1] - 1)
    w = (place - low)[inside]
    out[:, inside] = rise[:, low[inside]] * (1 - w) + rise[:, low[inside] + 1] * w
    return out


def audio_offsets(
    videos: Mapping[str, str | Path] | Sequence[str | Path],
    *,
    max_offset_s: float | None = None,
    distances_m: Mapping[str, float] | None = None,
) -> OffsetReport:
    """Lateness of every camera against the first, in seconds, from the sound tracks.

    Args:
        videos: camera name -> file, or files (the stem is the name).
        max_offset_s: two cameras differ by at most this; default: anything that leaves half of the shorter track.
        distances_m: camera name -> distance from the sound (the place of the clap), where known.

    Returns:
        An :class:`OffsetReport`; a camera without sound, or without a clear sound in common with the others, has
        ``offset_s`` None and the reason. ``sigma_s`` holds the unknown way of the sound: 3 m, that is 8.7 ms, per
        camera where distances are not given.

    Raises:
        InputError: no video, a file that cannot be opened, a distance for a camera that is not there.
        MissingExtraError: PyAV is not installed.
    """
    if not isinstance(videos, Mapping):
        videos = {Path(v).stem: v for v in videos}
    if not videos:
        raise InputError("No video was given.")
    names = list(videos)
    far = dict(distances_m or {})
    if unknown := sorted(set(far) - set(names)):
        raise InputError(f"distances_m names {unknown[0]!r}; the cameras are {', '.join(names)}.")
    sounds = {name: read_sound(path) for name, path in videos.items()}
    return sound_offsets(sounds, max_offset_s=max_offset_s, distances_m=far)


def sound_offsets(
    sounds: Mapping[str, Sound | None],
    *,
    max_offset_s: float | None = None,
    distances_m: Mapping[str, float] | None = None,
) -> OffsetReport:
    """The same as :func:`audio_offsets` for sound that is already in memory."""
    names, far = list(sounds), dict(distances_m or {})
    heard = {n: s for n, s in sounds.items() if s is not None}
    signals = {}
    if heard:
        start = min(s.start_s for s in heard.values())
        stop = max(s.start_s + len(s.samples) / RATE for s in heard.values())
        count = int((stop - start) * RATE / HOP) + 1
        signals = {n: onsets(s, start, count) for n, s in heard.items()}
    pairs = []
    for a, b in combinations(names, 2):
        sa, sb = heard.get(a), heard.get(b)
        if sa is None or sb is None:
            silent = " and ".join(n for n in (a, b) if n not in heard)
            pairs.append(PairOffset(a, b, None, None, 0.0, 0.0, 0.0, False, f"no sound in {silent}"))
        else:
            pairs.append(_pair(a, b, sa, sb, signals[a], signals[b], max_offset_s))
    return _tie(names, heard, pairs, far)


def _pair(a: str, b: str, sa: Sound, sb: Sound, fa: Floats, fb: Floats, max_offset_s: float | None) -> PairOffset:
    step = HOP / RATE
    shorter = min(len(sa.samples), len(sb.samples)) / RATE
    reach_s = 0.5 * shorter + abs(sa.start_s - sb.start_s) if max_offset_s is None else max_offset_s
    reach = max(3, min(int(reach_s / step), fa.shape[1] - 1))
    values = correlation(fa, fb, reach)
    lags, heights = peaks(values, step, 50)
    if not len(lags) or shorter < 1.0:
        return PairOffset(a, b, None, None, 0.0, 0.0, 0.0, False, "too little sound")
    peak, other = float(heights[0]), heights[np.abs(lags - lags[0]) > 0.08]
    second = float(other[0]) if len(other) else 0.0
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    ratio = peak / max(second, 1e-6)
    fine, sigma, share = _fine(sa, sb, float(lags[0]), fa, fb)
    reason = ""
    if peak < _MIN_HEIGHT * spread or ratio < _MIN_RATIO:
        reason = "no clear sound in common"
    lag = float(lags[0]) if fine is None else fine
    return PairOffset(
        a, b, -lag, 0.005 if fine is None else sigma, peak, float(values[reach]), second, not reason, reason,
        margin=ratio,
    )  # fmt: skip


def _fine(sa: Sound, sb: Sound, lag: float, fa: Floats, fb: Floats) -> tuple[float | None, float, float]:
    """Lag in seconds from the waveforms (None where they do not show it), its sigma, share of stretches that agree.

    The stretches are those where both tracks have their strongest common onsets.
    """
    size = int(_STRETCH_S * RATE)
    lo = max(sa.start_s, sb.start_s - lag)
    hi = min(sa.start_s + len(sa.samples) / RATE, sb.start_s + len(sb.samples) / RATE - lag)
    count = int((hi - lo) / _STRETCH_S)
    if count < 1:
        return None, 0.0, 0.0
    picks = np.linspace(0, count - 1, min(count, 60)).astype(int)
    reach = int(_FINE_S * RATE)
    found = []
    for k in picks:
        t = lo + k * _STRETCH_S
        ia, ib = int(round((t - sa.start_s) * RATE)), int(round((t + lag - sb.start_s) * RATE))
        x, y = sa.samples[max(ia, 0) : ia + size], sb.samples[max(ib, 0) : ib + size]
        if len(x) < size or len(y) < size:
            continue
        rest = ((ib / RATE + sb.start_s) - (ia / RATE + sa.start_s)) - lag
        where, height = _phat(x.astype(float), y.astype(float), reach)
        found.append((where / RATE + rest, height))
    if not found:
        return None, 0.0, 0.0
    shift, height = np.array(found).T
    good = height > _MIN_FINE
    if not good.any():
        return None, 0.0, 0.0
    order = np.argsort(-height * good)[:_STRETCHES]
    order = order[good[order]]
    middle = float(np.median(shift[order]))
    near = order[np.abs(shift[order] - middle) < 0.004]
    if len(near) < max(1, 0.5 * len(order)):
        return None, 0.0, 0.0
    value = float(np.average(shift[near], weights=height[near]))
    scatter = float(shift[near].std(ddof=1)) if len(near) > 1 else 0.001
    return lag + value, max(scatter / np.sqrt(len(near)), 0.0003), len(near) / len(order)


def _phat(x: Floats, y: Floats, reach: int) -> tuple[float, float]:
    """Samples by which y comes later than x, and how far the peak stands out (in spreads of the correlation)."""
    size = 1 << int(np.ceil(np.log2(len(x) + len(y))))
    window = np.hanning(len(x))
    fx, fy = np.fft.rfft(x * window, size), np.fft.rfft(y * window, size)
    cross = np.conj(fx) * fy
    magnitude = np.abs(cross)
    freq = np.fft.rfftfreq(size, 1 / RATE)
    weak = magnitude < 1e-3 * np.median(magnitude) + 1e-12
    phase = np.where(weak | (freq < 100) | (freq > 7000), 0.0, cross / np.maximum(magnitude, 1e-20) ** _WHITEN)
    lags = np.fft.irfft(phase, size)
    near = np.concatenate([lags[-reach:], lags[: reach + 1]])
    k = int(np.argmax(near))
    spread = 1.4826 * float(np.median(np.abs(lags))) + 1e-12
    shift = 0.0
    if 0 < k < len(near) - 1:
        bend = near[k - 1] - 2 * near[k] + near[k + 1]
        shift = float(np.clip(0.5 * (near[k - 1] - near[k + 1]) / min(bend, -1e-12), -0.5, 0.5))
    return k + shift - reach, float(near[k]) / spread


def _tie(
    names: Sequence[str], heard: Mapping[str, Sound], pairs: Sequence[PairOffset], far: Mapping[str, float]
) -> OffsetReport:
    """One offset per camera from the pairs; the way of the sound is taken off, or goes into the uncertainty."""
    used = [p for p in pairs if p.confident]
    index = {n: i for i, n in enumerate(names)}
    while True:
        linked = {names[0]}
        while more := {n for p in used for n in (p.a, p.b) if {p.a, p.b} & linked} - linked:
            linked |= more
        inside = [p for p in used if p.a in linked]
        free = [n for n in names[1:] if n in linked]
        rows = np.zeros((len(inside), len(names)))
        for r, p in enumerate(inside):
            rows[r, index[p.b]], rows[r, index[p.a]] = 1.0, -1.0
        columns = [index[n] for n in free]
        values = np.array([p.offset_s or 0.0 for p in inside])
        weights = np.array([1 / max(p.sigma_s or 0.01, 0.001) for p in inside])
        if not free:
            found, spread = np.zeros(0), np.zeros(0)
            break
        matrix = rows[:, columns] * weights[:, None]
        found = np.linalg.lstsq(matrix, values * weights, rcond=None)[0]
        late = np.abs(rows[:, columns] @ found - values)
        if len(inside) > len(free) and late.max() > 0.02:  # sound needs that for seven metres
            used.remove(inside[int(np.argmax(late))])
            continue
        spread = np.sqrt(np.diag(np.linalg.pinv(matrix.T @ matrix)))
        break
    cameras = [CameraOffset(names[0], 0.0, 0.0, "audio", 1.0)]
    if names[0] not in heard:
        cameras = [CameraOffset(names[0], 0.0, 0.0, "none", 1.0)]
    for name in names[1:]:
        mine = [p for p in pairs if name in (p.a, p.b)]
        if name not in free:
            why = "no sound" if name not in heard else "no clear sound in common with another camera"
            if names[0] not in heard:
                why = f"no sound in {names[0]}, the first camera" if name in heard else why
            cameras.append(CameraOffset(name, None, None, "none", 0.0, reason=why))
            continue
        k = free.index(name)
        way, unsure = 0.0, DISTANCE_SIGMA_M / SPEED_OF_SOUND_M_S
        if name in far and names[0] in far:
            way, unsure = (far[name] - far[names[0]]) / SPEED_OF_SOUND_M_S, 0.001
        best = max((p.margin or 0.0) for p in mine if p in inside)
        cameras.append(
            CameraOffset(
                name, float(found[k]) + way, float(np.hypot(spread[k], unsure)), "audio",
                float(1 - 1 / max(best, 1.0) ** 2),
            )
        )  # fmt: skip
    listed = tuple(p if not p.confident or p in inside or p not in pairs else _contradicts(p) for p in pairs)
    return OffsetReport(tuple(cameras), "audio", None, listed)


def _contradicts(p: PairOffset) -> PairOffset:
    from dataclasses import replace

    return replace(p, confident=False, reason="contradicts the other pairs")
