"""Exceptions of sportcore: each says what is wrong, and what to do about it."""

from __future__ import annotations

import importlib
from types import ModuleType


class SportcoreError(Exception):
    """Base of every error that sportcore raises on purpose.

    Args:
        message: what is wrong, naming the camera, the frames or the file.
        remedy: what the reader can do about it; empty when there is nothing to add.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InputError(SportcoreError, ValueError):
    """The input (file, array, option) cannot be used as it is."""


class DegenerateError(SportcoreError):
    """The geometry does not determine what was asked for."""


class WeightsError(SportcoreError):
    """A model file is missing, damaged or of another model."""


class DeviceError(SportcoreError, RuntimeError):
    """A device was asked for that this build or this machine does not have."""


class MissingExtraError(SportcoreError, ImportError):
    """An optional dependency is not installed."""


class Cancelled(SportcoreError):
    """The user asked to stop; what was finished before is kept."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it.

    Args:
        module: importable name, for instance ``"torch"``.
        extra: the extra of this package that installs it, for instance ``"train"``.

    Raises:
        MissingExtraError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"This needs the Python package {module!r}, which is not installed.",
            f'Install it with: pip install "sportcore[{extra}]"',
        ) from error
