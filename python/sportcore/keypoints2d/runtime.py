"""One small interface over the inference engines: LiteRT for ``.tflite`` files, ONNX Runtime for ``.onnx`` files."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sportcore.errors import InputError, MissingExtraError, WeightsError, require

__all__ = ["Network", "load_network"]


class Network(Protocol):
    """A loaded model with one input."""

    path: Path
    input_shape: tuple[int | None, ...]
    output_shapes: tuple[tuple[int | None, ...], ...]
    output_names: tuple[str, ...]

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """All outputs for one input batch of float32."""
        ...


def load_network(path: str | Path, *, num_threads: int | None = None) -> Network:
    """Load a ``.tflite`` or ``.onnx`` file; the engine is told from the content, not from the name.

    Args:
        path: model file.
        num_threads: threads of the engine; None uses all cores it may use.

    Raises:
        InputError: no such file, or neither of the two formats.
        WeightsError: the file is damaged.
        MissingExtraError: the engine is not installed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"There is no model file {path}.", "Check the path.")
    with open(path, "rb") as file:
        head = file.read(8)
    if head[4:8] == b"TFL3":
        return _LiteRT(path, num_threads)
    if path.suffix.lower() == ".onnx":
        return _Onnx(path, num_threads)
    raise InputError(f"{path} is neither a TFLite nor an ONNX model.", "Give a .tflite or an .onnx file.")


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


class _LiteRT:
    def __init__(self, path: Path, num_threads: int | None) -> None:
        interpreter_class = _interpreter_class()
        try:
            with _hushed():
                self._engine = interpreter_class(model_path=str(path), num_threads=num_threads or cores())
                self._engine.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise WeightsError(f"{path} is damaged or not a usable TFLite model ({error}).", _REFETCH) from error
        self.path = path
        inputs, outputs = self._engine.get_input_details(), self._engine.get_output_details()
        if len(inputs) != 1:
            raise InputError(f"{path} has {len(inputs)} inputs; a pose network has one image input.")
        self._input = inputs[0]["index"]
        self._outputs = [o["index"] for o in outputs]
        self.input_shape: tuple[int | None, ...] = tuple(int(n) for n in inputs[0]["shape"])
        self.output_shapes: tuple[tuple[int | None, ...], ...] = tuple(
            tuple(int(n) for n in o["shape"]) for o in outputs
        )
        self.output_names = tuple(str(o["name"]) for o in outputs)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self._engine.set_tensor(self._input, np.ascontiguousarray(batch, dtype=np.float32))
        self._engine.invoke()
        return [self._engine.get_tensor(i) for i in self._outputs]


class _Onnx:
    def __init__(self, path: Path, num_threads: int | None) -> None:
        ort = require("onnxruntime", extra="detect")
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads or cores()
        options.log_severity_level = 3
        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        providers = [p for p in wanted if p in ort.get_available_providers()]
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime raises its own pybind classes without a common base
            raise WeightsError(f"{path} is damaged or not a usable ONNX model ({error}).", _REFETCH) from error
        self.path = path
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise InputError(f"{path} has {len(inputs)} inputs; a pose network has one image input.")
        self._input = inputs[0].name
        outputs = self._session.get_outputs()
        self.input_shape = _static(inputs[0].shape)
        self.output_shapes = tuple(_static(o.shape) for o in outputs)
        self.output_names = tuple(o.name for o in outputs)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        outputs = self._session.run(None, {self._input: np.ascontiguousarray(batch, dtype=np.float32)})
        return [np.asarray(o) for o in outputs]


_REFETCH = "Remove it and fetch it again: sportcore weights remove NAME; sportcore weights fetch NAME."


def _static(shape: list[Any]) -> tuple[int | None, ...]:
    return tuple(n if isinstance(n, int) else None for n in shape)


_hush_lock = threading.Lock()
_hushed_before = False


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep LiteRT's greeting from the terminal.

    The engine writes one line to the process's standard error when it is first used, past Python and with no switch
    to turn it off. During that first use standard error goes to a file; every other line is passed on afterwards.
    """
    global _hushed_before
    with _hush_lock:
        if _hushed_before:
            yield
            return
        try:
            real = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield
                _hushed_before = True
            finally:
                os.dup2(real, 2)
                said.seek(0)
                for line in said.read().splitlines(keepends=True):
                    if b"TensorFlow Lite XNNPACK delegate" not in line:
                        os.write(real, line)
                os.close(real)


def _interpreter_class() -> Any:
    """LiteRT's interpreter, from whichever package brings it."""
    for module in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        try:
            return require(module, extra="detect").Interpreter
        except MissingExtraError:
            continue
    raise MissingExtraError(
        "Running a .tflite model needs the Python package 'ai-edge-litert', which is not installed.",
        'Install it with: pip install "sportcore[detect]"',
    )
