"""What the machine of the tests has to spare."""

from __future__ import annotations


def available_bytes() -> int:
    """Memory that a test may take; 0 where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 0
