"""Several people in view: the same people in all cameras, and the cameras from all of them. See ``docs/people.md``."""

from __future__ import annotations

from .associate import associate_people, match_to_rig, stack_people
from .detect import PeopleDetections, detect_people
from .scale import PeopleScale, scale_calibration, scale_from_heights
from .tracking import TrackOptions, track_people
from .types import DiscardedTrack, PeopleAssociation, PeopleOptions, PeopleTracks

__all__ = [
    "DiscardedTrack",
    "PeopleAssociation",
    "PeopleDetections",
    "PeopleOptions",
    "PeopleScale",
    "PeopleTracks",
    "TrackOptions",
    "associate_people",
    "detect_people",
    "match_to_rig",
    "scale_calibration",
    "scale_from_heights",
    "stack_people",
    "track_people",
]
