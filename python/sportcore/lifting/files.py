"""Lifters as files: safetensors with the network's shape and its recipe in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, WeightsError, require
from ..io.atomic import atomic_path
from .compact import CompactConfig, CompactLifter
from .image_space import MotionAGFormerLifter
from .lifter import Lifter, RayLifter
from .motionagformer import SIZES, MotionAGFormer, MotionAGFormerConfig

__all__ = ["FORMAT", "load_lifter", "save_lifter", "shipped_weights"]

FORMAT = "sportcore-lifter-1"
_FRESH = "Fresh networks come from MotionAGFormer.from_size; official checkpoints are linked from that project's page."


def shipped_weights(name: str = "base") -> Path:
    """Path of weights that ship with the package.

    Raises:
        WeightsError: there are none of this name.
    """
    path = Path(__file__).parent / "weights" / f"{name}.safetensors"
    if not path.is_file():
        raise WeightsError(f"The package holds no weights {name!r} ({path}).", "Train some with: sportcore pretrain")
    return path


def load_lifter(name_or_path: str | Path = "base") -> Lifter:
    """Load a lifter.

    Args:
        name_or_path: ``"base"`` (ships with the package); the path of a ``.safetensors`` file written by
            :meth:`Lifter.save`; ``"motionagformer-xs:PATH"`` (or s, b, l) or a bare path ending in ``.pth``,
            ``.pth.tr``, ``.pt`` or ``.bin`` for an official MotionAGFormer checkpoint.

    Raises:
        WeightsError: no such file, a damaged one, or one that holds another network.
        InputError: a name that is not known.
    """
    text = str(name_or_path)
    family, _, rest = text.partition(":")
    if family.startswith("motionagformer-"):
        return _official(family, rest)
    if text == "base":
        return _load(shipped_weights("base"), "base")
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        return _load(path, path.stem)
    if path.suffix in (".pth", ".pt", ".tr", ".bin"):
        return MotionAGFormerLifter(MotionAGFormer.from_checkpoint(path), name=path.name)
    if path.exists():
        raise WeightsError(
            f"{path} is not a lifter file by its name.",
            "Lifters end in .safetensors, official checkpoints in .pth.tr.",
        )
    raise InputError(
        f"No lifter {text!r}.", 'Use "base", the path of a .safetensors file, or "motionagformer-xs:PATH".'
    )


def save_lifter(lifter: Lifter, path: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a lifter atomically; see :meth:`Lifter.save`."""
    numpy_files = require("safetensors.numpy", extra="train")
    header = {
        "format": FORMAT,
        "family": lifter.family,
        "name": lifter.name,
        "config": json.dumps(lifter.config()),
        "metadata": json.dumps(dict(metadata or {})),
    }
    tensors = {
        key: np.ascontiguousarray(value.detach().cpu().numpy()) for key, value in lifter.module.state_dict().items()
    }
    with atomic_path(Path(path)) as temporary:
        numpy_files.save_file(tensors, str(temporary), metadata=header)


def _official(family: str, path: str) -> Lifter:
    size = family.removeprefix("motionagformer-")
    if size not in SIZES:
        raise InputError(f"No MotionAGFormer of size {size!r}.", f"Sizes: {', '.join(SIZES)}.")
    if not path:
        raise WeightsError(
            f"The weights of {family} do not ship with the package.",
            f'Give them by path: "{family}:PATH". {_FRESH}',
        )
    if Path(path).suffix == ".safetensors":
        lifter = _load(Path(path), family)
        if not isinstance(lifter, MotionAGFormerLifter):
            raise WeightsError(f"{path} holds a {lifter.family} lifter, not {family}.")
    else:
        lifter = MotionAGFormerLifter(MotionAGFormer.from_checkpoint(path), name=family)
    have, want = asdict(lifter.network.config), asdict(SIZES[size])
    wrong = [f"{k} {have[k]} instead of {want[k]}" for k in ("n_layers", "width") if have[k] != want[k]]
    if wrong:
        raise WeightsError(f"{path} is not {family}: {', '.join(wrong)}.", "Give the size that the file was made for.")
    return lifter


def _load(path: Path, name: str) -> Lifter:
    torch = require("torch", extra="train")
    safetensors = require("safetensors", extra="train")
    if not path.is_file():
        raise WeightsError(f"No file {path}.", "Check the path.")
    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            header = dict(file.metadata() or {})
            arrays = {key: file.get_tensor(key) for key in file.keys()}
    except Exception as error:  # SafetensorError, OSError
        raise WeightsError(
            f"{path} cannot be read: {error}.", "It is damaged or incomplete; fetch or train it again."
        ) from error
    if header.get("format") != FORMAT:
        raise WeightsError(
            f"{path} is a safetensors file, but not one of a sportcore lifter.",
            f'Its format must be "{FORMAT}".',
        )
    state = {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}
    lifter: Lifter
    try:
        config = json.loads(header["config"])
        if header["family"] == RayLifter.family:
            module = CompactLifter(CompactConfig(**config))
            module.load_state_dict({k: v.float() for k, v in state.items()})
            lifter = RayLifter(module, name=header.get("name", name))
        elif header["family"] == MotionAGFormerLifter.family:
            network = MotionAGFormer(MotionAGFormerConfig(**config))
            network.load_state_dict(state)
            lifter = MotionAGFormerLifter(network, name=header.get("name", name))
        else:
            raise WeightsError(f"{path}: unknown family of lifters {header['family']!r}.", "Update sportcore.")
        lifter.metadata = json.loads(header.get("metadata", "{}"))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path} holds tensors that do not fit its own header: {error}.") from error
    for key, value in lifter.module.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise WeightsError(f"{path}: the tensor {key} holds values that are not finite.")
    return lifter
