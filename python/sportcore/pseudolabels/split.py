"""Which frames train, which choose, which judge: contiguous blocks of time, and clips that never cross
them.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError

from .options import PseudoLabelOptions

__all__ = ["Part", "blocks", "clip_starts", "split_time"]

MIN_TRAIN_FRAMES = 9
MIN_HELD_OUT_FRAMES = 4


class Part(IntEnum):
    """What a frame is for."""

    GUARD = 0  #: for nothing; keeps the parts apart
    TRAIN = 1
    VAL = 2  #: chooses the best model
    TEST = 3  #: judges it; seen by neither training nor choice


def split_time(n_frames: int, options: PseudoLabelOptions) -> NDArray[np.uint8]:
    """Divide a recording into blocks of time: train, val, test, again and again, guard frames between.

    A long recording gets several cycles so that each part sees all of its activities; a short one gets a
    single cycle. The split depends on the number of frames and the options only.

    Args:
        n_frames: T.
        options: fractions, guard and block lengths.

    Returns:
        (T,) values of :class:`Part`.

    Raises:
        InputError: too few frames for the parts asked for.
    """
    fractions = {Part.VAL: options.val_fraction, Part.TEST: options.test_fraction}
    held_out = {part: f for part, f in fractions.items() if f > 0}
    if held_out:
        longest = int(options.block_frames / min(held_out.values()))
        cycles = int(np.clip(n_frames // max(longest, 1), 1, options.max_cycles))
    else:
        cycles = 1
    out = np.zeros(n_frames, dtype=np.uint8)
    edges = np.linspace(0, n_frames, cycles + 1).round().astype(int)
    guard = options.guard_frames if held_out else 0
    for k in range(cycles):
        start, stop = int(edges[k]), int(edges[k + 1])
        # The last cycle needs no guard behind it: nothing follows.
        usable = stop - start - guard * (len(held_out) + (1 if k < cycles - 1 else 0))
        lengths = {part: int(round(f * usable)) for part, f in held_out.items()}
        train = usable - sum(lengths.values())
        if train < MIN_TRAIN_FRAMES or any(n < MIN_HELD_OUT_FRAMES for n in lengths.values()):
            raise InputError(
                f"A recording of {n_frames} frames is too short to train on one part and hold out another.",
                "Record at least a few seconds, or lower guard_frames, val_fraction or test_fraction.",
            )
        at = start
        out[at : at + train] = Part.TRAIN
        at += train
        for part, length in lengths.items():
            at += guard
            out[at : at + length] = part
            at += length
    return out


def blocks(split: ArrayLike, part: int) -> list[tuple[int, int]]:
    """(start, stop) of each contiguous block of one part, stop exclusive."""
    mine = np.concatenate([[False], np.asarray(split) == int(part), [False]])
    edges = np.flatnonzero(mine[1:] != mine[:-1])
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def clip_starts(split: ArrayLike, part: int, n_frames: int, stride: int) -> NDArray[np.int64]:
    """Clips of one part: (N, 2) first frame and number of frames.

    Clips are ``n_frames`` long, begin every ``stride`` frames, and the last one of a block ends with the
    block. A block shorter than a clip gives one short clip, which the reader pads. No clip leaves its block,
    so that no frame of one part is seen through a clip of another.
    """
    if n_frames < 1 or stride < 1:
        raise InputError(f"Clips need n_frames >= 1 and stride >= 1, got {n_frames} and {stride}.")
    clips: list[tuple[int, int]] = []
    for start, stop in blocks(split, part):
        if stop - start <= n_frames:
            clips.append((start, stop - start))
            continue
        starts = list(range(start, stop - n_frames + 1, stride))
        if starts[-1] != stop - n_frames:
            starts.append(stop - n_frames)
        clips.extend((s, n_frames) for s in starts)
    return np.array(clips, dtype=np.int64).reshape(-1, 2)
