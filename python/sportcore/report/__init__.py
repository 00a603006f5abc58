"""The session's report: one offline HTML file with verdict, charts and a 3D player."""

from __future__ import annotations

from .data import ReportData
from .page import render_report, write_report

__all__ = ["ReportData", "render_report", "write_report"]
