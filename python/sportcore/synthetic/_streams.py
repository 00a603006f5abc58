"""Random streams keyed by name, so that adding one draw never changes another."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *keys: object) -> np.random.Generator:
    """Return the generator that belongs to ``seed`` and the given keys (names, indices).

    Two calls with the same arguments give the same numbers on every machine; different keys give
    independent streams. Keys are joined by their ``str``.
    """
    text = "/".join(str(key) for key in keys)
    digest = hashlib.sha256(text.encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([int(seed) & 0xFFFFFFFF, *words]))
