"""Results of measuring how late cameras look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REMEDY = (
    "Let the athlete start with a jump or clap, seen and heard by every camera, and turn while moving; or give the "
    "offsets by hand: offsets = { cam02 = 0.120 } under [sync]."
)


@dataclass(frozen=True)
class PairOffset:
    """Measured lateness of camera ``b`` against camera ``a``.

    Attributes:
        a, b: camera names.
        offset_s: camera b looks this much later than camera a (its frame of the same number shows a later moment).
        sigma_s: standard deviation.
        peak: highest correlation of the two motions over all lags, in [-1, 1].
        at_zero: correlation at lag zero.
        second: second highest peak.
        confident: the pair takes part in the result.
        reason: why it does not; empty otherwise.
        scale_px: robust standard deviation of the distance to the epipolar lines at this offset.
        margin: the same at the best other moment that was tried, divided by ``scale_px``.
    """

    a: str
    b: str
    offset_s: float | None
    sigma_s: float | None
    peak: float
    at_zero: float
    second: float
    confident: bool
    reason: str
    scale_px: float | None = None
    margin: float | None = None


@dataclass(frozen=True)
class CameraOffset:
    """How late one camera looks, against the first camera.

    World time of a frame at time t of the camera's own clock is ``t + offset_s + drift * (t - reference_s)``.

    Attributes:
        name: of the camera.
        offset_s: lateness at ``reference_s``; positive: the camera shows a later moment than its time says. None where
            it is not known.
        sigma_s: standard deviation of ``offset_s``.
        source: "motion", "audio", "metadata", "motion + audio", "given" or "none".
        confidence: in [0, 1]; see ``docs/sync.md``.
        drift: seconds per second that the camera's clock loses against the first camera's (1e-6: 1 ppm); None where
            the recording does not show it.
        drift_sigma: its standard deviation.
        reference_s: where in the camera's own time ``offset_s`` holds.
        reason: why the offset is not known or not believed; empty otherwise.
        drift_reason: why the drift is not known; empty otherwise.
        zero_ratio: of a camera that is not sure: how many times worse the pictures fit with no offset at all; None
            where that was not compared.
    """

    name: str
    offset_s: float | None
    sigma_s: float | None
    source: str
    confidence: float
    drift: float | None = None
    drift_sigma: float | None = None
    reference_s: float = 0.0
    reason: str = ""
    drift_reason: str = ""
    zero_ratio: float | None = None

    @property
    def sure(self) -> bool:
        """The offset is known and nothing speaks against it."""
        return self.offset_s is not None and not self.reason


@dataclass(frozen=True)
class OffsetReport:
    """Lateness of all cameras against the first.

    Attributes:
        cameras: per camera; the first has offset 0.
        method: what was asked for.
        fps: frame rate in which frames are counted; None for sound alone.
        pairs: what the pairs of cameras said.
        notes: what was done, in sentences.
    """

    cameras: tuple[CameraOffset, ...]
    method: str
    fps: float | None = None
    pairs: tuple[PairOffset, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def offsets_s(self) -> Floats:
        """(C,) seconds, NaN where not known or not believed."""
        return np.array([c.offset_s if c.sure and c.offset_s is not None else np.nan for c in self.cameras])

    @property
    def sigmas_s(self) -> Floats:
        """(C,) seconds, NaN where not known or not believed."""
        return np.array([c.sigma_s if c.sure and c.sigma_s is not None else np.nan for c in self.cameras])

    @property
    def drifts(self) -> Floats:
        """(C,) seconds per second, NaN where not known."""
        return np.array([np.nan if c.drift is None else c.drift for c in self.cameras])

    @property
    def drift_sigmas(self) -> Floats:
        """(C,) seconds per second, NaN where not known."""
        return np.array([np.nan if c.drift_sigma is None else c.drift_sigma for c in self.cameras])

    @property
    def sure(self) -> bool:
        """Every camera's offset is known and believed."""
        return all(c.sure for c in self.cameras)

    def camera(self, name: str) -> CameraOffset:
        """The camera of a name; KeyError where there is none."""
        for c in self.cameras:
            if c.name == name:
                return c
        raise KeyError(name)

    def table(self) -> list[list[str]]:
        """Rows for a person to read: camera, offset s, frames, +- ms, source, confidence, drift ppm, remark."""
        return _rows(self.cameras, self.fps)

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        out = asdict(self)
        for key in ("cameras", "pairs", "notes"):
            out[key] = list(out[key])
        return out


TABLE_HEADER = ["camera", "offset s", "frames", "+- ms", "source", "confidence", "drift ppm", "remark"]


def _rows(cameras: Sequence[CameraOffset], fps: float | None) -> list[list[str]]:
    rows = []
    for c in cameras:
        offset, sigma, drift, ds = c.offset_s, c.sigma_s, c.drift, c.drift_sigma
        rows.append(
            [
                c.name,
                "?" if offset is None else f"{offset:+.4f}",
                "" if offset is None or not fps else f"{offset * fps:+.2f}",
                "" if offset is None or sigma is None else f"{sigma * 1000:.1f}",
                c.source,
                f"{c.confidence:.2f}",
                "" if drift is None else f"{drift * 1e6:+.0f} +- {(ds or 0.0) * 1e6:.0f}",
                c.reason,
            ]
        )
    return rows
