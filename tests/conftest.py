"""What all tests share: property tests draw the same examples in every run, so that a failure is the code's."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
