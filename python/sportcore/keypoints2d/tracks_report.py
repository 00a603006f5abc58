"""What the clean-up of 2D tracks found and did, in plain types for the HTML report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class TrackStatus(IntEnum):
    """What a sample of a clean track is."""

    OBSERVED = 0  #: as the detector gave it
    SWAPPED = 1  #: observed; left and right were exchanged back
    AMBIGUOUS = 2  #: observed; the side is uncertain, sigma is inflated accordingly
    OUTLIER = 3  #: rejected: jumps away from its own track
    FROZEN = 4  #: rejected: repeats the last value exactly
    LOW_SCORE = 5  #: rejected: the detector itself gives (almost) no score
    SHORT_GAP = 6  #: not observed, in a gap of at most ``max_gap_s``
    LONG_GAP = 7  #: not observed, in a longer gap


@dataclass(frozen=True)
class SwapRun:
    """Left and right exchanged in one camera over some frames, both ends inclusive.

    ``part`` is "body", "trunk", "arms" or "legs"; ``confidence`` the mean probability of the label over the run.
    """

    camera: str
    part: str
    first_frame: int
    last_frame: int
    confidence: float


@dataclass(frozen=True)
class CameraTrackReport:
    """One camera's tracks.

    Attributes:
        name: of the camera.
        person_frames: frames with a person (at least four limb joints).
        common_frames: of these, frames in which another camera sees a person as well.
        observed: share of samples that are observed after the clean-up.
        rejected: samples rejected, by reason ("outlier", "frozen", "low_score").
        swapped_frames: frames in which some part was exchanged back.
        ambiguous_frames: frames in which some part's side stays uncertain.
        short_gaps, long_gaps: gaps between observed samples of a joint, and before and after them.
        longest_gap_s: longest of them.
        body_size_px: median stature in the image.
        motion_body: how far the joints travel in the image, in statures (5th to 95th percentile, median joint).
        noise_px: standard deviation that the frame-to-frame jitter suggests.
        sigma_px: median sigma given to the observed samples.
        epipolar_body: median epipolar distance to the other cameras in statures; None without a rig.
    """

    name: str
    person_frames: int
    common_frames: int
    observed: float
    rejected: Mapping[str, int]
    swapped_frames: int
    ambiguous_frames: int
    short_gaps: int
    long_gaps: int
    longest_gap_s: float
    body_size_px: float | None
    motion_body: float | None
    noise_px: float | None
    sigma_px: float | None
    epipolar_body: float | None = None


@dataclass(frozen=True)
class TrackReport:
    """All cameras' tracks, the swaps that were undone, and what the reader should know.

    Attributes:
        cameras: per camera.
        frames: T.
        swaps: runs of exchanged sides.
        still: no camera sees the person move.
        views_used: whether calibrated views took part in the swap decision.
        sigma_model: the score-to-pixel model, as plain types.
        sigma_refitted: whether it was refitted on this session's residuals.
        warnings: sentences for the reader.
        options: the options used.
    """

    cameras: tuple[CameraTrackReport, ...]
    frames: int
    swaps: tuple[SwapRun, ...]
    still: bool
    views_used: bool
    sigma_model: Mapping[str, Any]
    sigma_refitted: bool
    warnings: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        out = asdict(self)
        for key in ("cameras", "swaps", "warnings"):
            out[key] = list(out[key])
        return out
