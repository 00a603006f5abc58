"""Synthetic people, cameras, detections and whole sessions with known truth; every draw is keyed by a seed."""

from __future__ import annotations

from sportcore.synthetic.body import SPORTS, BodyShape, Motion, athlete
from sportcore.synthetic.lifter import simulate_lifter
from sportcore.synthetic.render import render_background, render_frame, render_frames, render_video
from sportcore.synthetic.scene import ObservationTruth, limb_indices, observe, project_truth, ring_cameras
from sportcore.synthetic.session import SyntheticSession, make_session, write_detections

__all__ = [
    "SPORTS",
    "BodyShape",
    "Motion",
    "ObservationTruth",
    "SyntheticSession",
    "athlete",
    "limb_indices",
    "make_session",
    "observe",
    "project_truth",
    "render_background",
    "render_frame",
    "render_frames",
    "render_video",
    "ring_cameras",
    "simulate_lifter",
    "write_detections",
]
