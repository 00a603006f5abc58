"""Detectors by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from sportcore.errors import InputError
from sportcore.keypoints2d.detector import Detector

__all__ = ["detector_names", "make_detector", "register_detector"]

Factory = Callable[..., Detector]
_FACTORIES: dict[str, Factory] = {}


def register_detector(name: str, factory: Factory) -> None:
    """Make a backend known under a name: ``make_detector(name, **options)`` then calls ``factory(**options)``.

    Raises:
        InputError: the name is taken by another factory, or is not plain.
    """
    if not name or ":" in name:
        raise InputError(f"{name!r} cannot be the name of a detector: it is empty or has a colon.")
    if name in _builtin() or _FACTORIES.get(name, factory) is not factory:
        raise InputError(f"There is a detector {name!r} already.", "Choose another name.")
    _FACTORIES[name] = factory


def detector_names() -> list[str]:
    """Names that :func:`make_detector` knows; ``onnx:`` and ``python:`` take what follows the colon."""
    return [*_builtin(), *_FACTORIES, "onnx:MODEL.onnx", "python:MODULE:CLASS"]


def make_detector(spec: str | Detector, **options: Any) -> Detector:
    """Build a detector.

    A misspelt option is an error; ``num_threads`` is taken by every backend, and left out where it has no meaning.

    Args:
        spec: ``"blazepose-heavy"``, ``"blazepose-full"``, ``"blazepose-lite"``, ``"onnx:/path/model.onnx"`` (RTMPose
            or ViTPose), ``"rtmlib"``, ``"python:package.module:Class"``, a registered name, or a ready detector
            (returned as it is).
        **options: of the backend, see its class.

    Raises:
        InputError: unknown name or option.
        WeightsError: weights are missing.
        MissingExtraError: an engine is not installed.
    """
    if not isinstance(spec, str):
        if not isinstance(spec, Detector):
            raise InputError(
                f"{type(spec).__name__} is not a detector.",
                "It needs name, skeleton, version and detect_video(frames, image_size, *, progress=None).",
            )
        if options:
            raise InputError("A ready detector takes no further options.", "Give them where it is made.")
        return spec
    kind, _, rest = spec.partition(":")
    if kind == "onnx" and rest:
        from sportcore.keypoints2d.onnx_pose import OnnxPose

        return _build(OnnxPose, spec, {"model_path": rest, **options})
    if kind == "python" and ":" in rest:
        return _build(_load(rest), spec, options)
    factory = _FACTORIES.get(spec) or _builtin().get(spec)
    if factory is None:
        raise InputError(f"Unknown detector {spec!r}.", f"Use one of: {', '.join(detector_names())}.")
    return _build(factory, spec, options)


def _builtin() -> dict[str, Factory]:
    def blazepose(variant: str) -> Factory:
        def build(**options: Any) -> Detector:
            from sportcore.keypoints2d.blazepose import BlazePose

            _check_options(BlazePose, f"blazepose-{variant}", options, hidden=("variant",))
            return BlazePose(variant, **options)

        return build

    def rtmlib(**options: Any) -> Detector:
        from sportcore.keypoints2d.rtmlib_adapter import RtmlibDetector

        return _build(RtmlibDetector, "rtmlib", options)

    return {**{f"blazepose-{v}": blazepose(v) for v in ("heavy", "full", "lite")}, "rtmlib": rtmlib}


def _build(factory: Factory, spec: str, options: dict[str, Any]) -> Detector:
    options = _check_options(factory, spec, options)
    made = factory(**options)
    if not isinstance(made, Detector):
        raise InputError(f"{spec!r} did not make a detector but a {type(made).__name__}.")
    return made


def _check_options(
    factory: Factory, spec: str, options: dict[str, Any], hidden: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The options, if the backend has them all; a misspelt one is an error that lists the right ones.

    ``num_threads`` is a wish that changes no result: it is left out for a backend that does not know it.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError:  # a built-in without a signature
        return options
    known = [n for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and n not in hidden]
    if "num_threads" not in known:
        options = {n: v for n, v in options.items() if n != "num_threads"}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return options
    wrong = [n for n in options if n not in known]
    if wrong:
        raise InputError(f"Detector {spec!r} has no option {wrong[0]!r}.", f"It has: {', '.join(known)}.")
    return options


def _load(target: str) -> Factory:
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"The detector {target!r} cannot be imported ({error}).", "Is its folder on PYTHONPATH?"
        ) from error
    if not callable(found):
        raise InputError(f"{target!r} is not a class or function that makes a detector.")
    return found  # type: ignore[no-any-return]
