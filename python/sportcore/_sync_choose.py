"""Which of the measured offsets is believed, and what of it is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sportcore._sync_audio import audio_offsets
from sportcore._sync_epipolar import Clock
from sportcore._sync_metadata import metadata_offsets
from sportcore._sync_motion import Source, measure_motion, refine_motion
from sportcore._sync_types import REMEDY, CameraOffset, OffsetReport, PairOffset
from sportcore.errors import InputError, MissingExtraError
from sportcore.skeletons import Skeleton

LEAST_FRAMES = 0.15  #: a smaller offset is not applied
_ZERO_FITS = 1.3
_ZERO_FAILS = 2.0


@dataclass(frozen=True)
class Choice:
    """One offset per camera, and the clocks to apply.

    Attributes:
        cameras: what is known.
        clocks: by name: what is applied, of the cameras' own times from their first frame.
        pairs: what pairs of cameras said.
        sure: every camera is measured, or fits as it is.
    """

    cameras: tuple[CameraOffset, ...]
    clocks: Mapping[str, Clock]
    pairs: tuple[PairOffset, ...]
    sure: bool


def choose(
    sources: Sequence[Source],
    starts_s: Sequence[float],
    skeleton: Skeleton,
    fps: float,
    *,
    method: str,
    reach_s: float,
    drift: bool,
    videos: Mapping[str, str | Path],
    distances_m: Mapping[str, float],
    notes: list[str],
    warnings: list[str],
) -> Choice:
    """Measure by a method ("auto", "motion", "audio", "metadata") and decide; sentences go to notes and warnings.

    ``starts_s``: where in its video each camera's time begins.

    Raises:
        InputError: the method was named and does not show how late every camera looks; no video for sound.
    """
    if method in ("audio", "metadata"):
        missing = [s.name for s in sources if s.name not in videos]
        if missing:
            raise InputError(f'method = "{method}" needs the videos; there is none of {missing[0]}.')
        shown = (
            audio_offsets({s.name: videos[s.name] for s in sources}, distances_m=distances_m)
            if method == "audio"
            else metadata_offsets({s.name: videos[s.name] for s in sources})
        )
        _insist(shown, method)
        cameras, pairs = _from_start(shown.cameras, starts_s), shown.pairs
    else:
        shown = measure_motion(sources, skeleton, reach_s, drift=drift)
        if method == "motion":
            _insist(shown, method)
        cameras, pairs = list(shown.cameras), shown.pairs
        if method == "auto":
            heard = _listen(sources, videos, distances_m, notes)
            if heard is not None:
                sound = _from_start(heard.cameras, starts_s)
                cameras = _combine(sources, skeleton, cameras, sound, drift, warnings)
    clocks: dict[str, Clock] = {}
    sure = True
    for k, camera in enumerate(cameras):
        clocks[camera.name] = Clock()
        if k == 0:
            continue
        if not camera.sure:
            sure &= _leave(camera, notes, warnings)
            continue
        clocks[camera.name] = _apply(camera, sources[k], cameras[0].name, fps, notes, warnings)
    return Choice(tuple(cameras), clocks, pairs, sure)


def _from_start(cameras: Sequence[CameraOffset], starts_s: Sequence[float]) -> list[CameraOffset]:
    """Offsets of videos as offsets of times that begin somewhere within them."""
    return [
        c if c.offset_s is None else replace(c, offset_s=c.offset_s + starts_s[k] - starts_s[0])
        for k, c in enumerate(cameras)
    ]


def _insist(report: OffsetReport, method: str) -> None:
    bad = [c for c in report.cameras if not c.sure]
    if bad:
        listed = "; ".join(f"{c.name}: {c.reason}" for c in bad)
        raise InputError(f'method = "{method}" does not show how late every camera looks: {listed}.', REMEDY)


def _listen(
    sources: Sequence[Source], videos: Mapping[str, str | Path], distances_m: Mapping[str, float], notes: list[str]
) -> OffsetReport | None:
    """What the sound says, where at least two videos are there; None where it cannot be had."""
    there = {s.name: videos[s.name] for s in sources if s.name in videos}
    if len(there) < len(sources):
        return None
    try:
        report = audio_offsets(there, distances_m=distances_m)
    except (InputError, MissingExtraError) as error:
        notes.append(f"The sound was not used: {error}")
        return None
    return report if any(c.sure for c in report.cameras[1:]) else None


def _combine(
    sources: Sequence[Source],
    skeleton: Skeleton,
    cameras: Sequence[CameraOffset],
    heard: Sequence[CameraOffset],
    drift: bool,
    warnings: list[str],
) -> list[CameraOffset]:
    """Motion where it is sure; else sound, refined by motion where that agrees within what sound leaves open."""
    out = list(cameras)
    need = []
    for k, (seen, sound) in enumerate(zip(cameras, heard, strict=True)):
        if k == 0 or not sound.sure or sound.offset_s is None or sound.sigma_s is None:
            continue
        if seen.sure and seen.offset_s is not None and seen.sigma_s is not None:
            gap = abs(seen.offset_s - sound.offset_s)
            if gap <= max(4 * float(np.hypot(seen.sigma_s, sound.sigma_s)), 0.03):
                out[k] = replace(seen, source="motion + audio", confidence=max(seen.confidence, sound.confidence))
            else:
                warnings.append(
                    f"{seen.name}: the motion says {seen.offset_s:+.3f} s, the sound {sound.offset_s:+.3f} s; the "
                    "motion was used. Check that picture and sound of this file belong together."
                )
        else:
            need.append(k)
            out[k] = sound
    if need:
        known = [0] + [k for k in range(1, len(out)) if out[k].sure]
        start = np.array([out[k].offset_s or 0.0 for k in known])
        finer = refine_motion([sources[k] for k in known], skeleton, start, drift=drift)
        for k, fine in zip(known, finer.cameras, strict=True):
            sound = out[k]
            if k in need and fine.sure and None not in (fine.offset_s, fine.sigma_s, sound.offset_s, sound.sigma_s):
                gap = abs(float(fine.offset_s or 0) - float(sound.offset_s or 0))
                if gap < 4 * float(sound.sigma_s or 0) and float(fine.sigma_s or 0) < float(sound.sigma_s or 0):
                    out[k] = replace(fine, source="motion + audio", confidence=sound.confidence)
    return out


def _leave(camera: CameraOffset, notes: list[str], warnings: list[str]) -> bool:
    """Say that a camera is left as it is; False where the pictures speak against that."""
    said = f"{camera.name}: how late it looks could not be measured ({camera.reason}); left as it is"
    ratio = camera.zero_ratio
    if ratio is not None and ratio > _ZERO_FAILS:
        warnings.append(f"{said}, although its frames then fit {min(ratio, 99.0):.0f} times worse. {REMEDY}")
        return False
    notes.append(f"{said}, which fits as well." if ratio is not None and ratio < _ZERO_FITS else f"{said}.")
    return True


def _apply(
    camera: CameraOffset, source: Source, first: str, fps: float, notes: list[str], warnings: list[str]
) -> Clock:
    """The clock to apply: only what is larger than ``LEAST_FRAMES``, and than four standard deviations."""
    offset, sigma = camera.offset_s or 0.0, camera.sigma_s or 0.0
    length = float(source.times_s[-1] - source.times_s[0])
    drift, known = camera.drift or 0.0, camera.drift_sigma
    drifts = known is not None and abs(drift) > 4 * known and abs(drift) * length > 0.25 / fps
    text = f"(+- {sigma * 1000:.1f} ms, {offset * fps:.2f} frames, from {camera.source})"
    if abs(offset) > max(LEAST_FRAMES / fps, 4 * sigma) or drifts:
        way = f"{abs(offset) * 1000:.0f} ms {'later' if offset > 0 else 'earlier'} than {first} {text}"
        rate = f", and its clock is {drift * 1e6:+.0f} +- {(known or 0) * 1e6:.0f} ppm off" if drifts else ""
        warnings.append(f"{camera.name} looks {way}{rate}; this was corrected.")
        return Clock(offset, drift if drifts else 0.0, camera.reference_s)
    notes.append(f"{camera.name}: lateness against {first} {offset * 1000:+.1f} ms {text}; nothing to correct.")
    return Clock()
