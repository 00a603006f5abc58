"""Cameras from the moving athlete: calibration without a board, made metric and upright."""

from __future__ import annotations

from .calibrate import calibrate
from .gauge import Gauge, GaugeOptions, find_gauge
from .options import CalibrateOptions

__all__ = ["CalibrateOptions", "Gauge", "GaugeOptions", "calibrate", "find_gauge"]
