"""The detector's model files: where they come from, where they lie, and whether they are whole.

Nothing is downloaded unless :func:`ensure` is called. Every file is pinned by its SHA-256; files of your own are
taken in with :func:`add_local`.

Routes, tried in this order until one works:

1. the npm package ``@mediapipe/pose``, through the npm client, else from the registry's address;
2. the publisher's model bundle (``pose_landmarker_*.task`` on storage.googleapis.com);
3. the wheel of ``mediapipe`` 0.10.21, through pip: it holds the *full* network only. Where *heavy* was asked for,
   *full* takes its place, and a warning says what is lost. *lite* is not replaced: full is better, and has its name.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sportcore import fetch as _fetch
from sportcore.errors import InputError, WeightsError
from sportcore.io.atomic import atomic_path, write_json
from sportcore.io.hashing import hash_file

__all__ = [
    "Model", "Status", "add_local", "ensure", "file_sha256", "find", "identify", "list_models", "path_of", "remove",
    "status", "substitution_warning", "verify",
]  # fmt: skip

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Model:
    """One model file that the library knows.

    Attributes:
        name: what to call it, for instance ``"blazepose-heavy"``.
        size: bytes of the file.
        sha256: hexadecimal SHA-256 of the file.
        licence: licence of the weights.
        about: one sentence.
        npm_member, wheel_member: where it lies in the npm package and in the wheel ("" where it does not).
        also_sha256: other builds of the same network that serve as well.
    """

    name: str
    size: int
    sha256: str
    licence: str
    about: str
    npm_member: str
    wheel_member: str = ""
    also_sha256: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """Name in the cache."""
        return f"{self.name}.tflite"


@dataclass(frozen=True)
class Status:
    """Whether a model file is there.

    Attributes:
        name: of the model.
        path: where it is, or would be.
        present: the file exists.
        valid: its SHA-256 is that of the model (or of the local file that was added); False when absent.
        origin: where it came from, as far as it is known.
        size: bytes of the file as pinned.
        about: one sentence.
    """

    name: str
    path: Path
    present: bool
    valid: bool
    origin: str
    size: int
    about: str

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return {**self.__dict__, "path": str(self.path)}


_NPM = _fetch.NpmPackage(
    "@mediapipe/pose",
    "0.5.1675469404",
    sha256="8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84",
    size=40_985_403,
)
_WHEEL = _fetch.Wheel(
    "mediapipe",
    "0.10.21",
    "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    size=35_622_638,
)
_BUNDLE_URL = "https://storage.googleapis.com/mediapipe-models/pose_landmarker/{0}/float16/1/{0}.task"
_BUNDLES = {
    name: _fetch.Url(_BUNDLE_URL.format(f"pose_landmarker_{name.removeprefix('blazepose-')}"), sha256, size)
    for name, sha256, size in (
        ("blazepose-heavy", "64437af838a65d18e5ba7a0d39b465540069bc8aae8308de3e318aad31fcbc7b", 30_664_242),
        ("blazepose-full", "5134a3aad27a58b93da0088d431f366da362b44e3ccfbe3462b3827a839011b1", 9_398_198),
        ("blazepose-lite", "59929e1d1ee95287735ddd833b19cf4ac46d29bc7afddbbf6753c459690d574a", 5_777_746),
    )
}
_BUNDLE_LANDMARKS, _BUNDLE_PERSON = "pose_landmarks_detector.tflite", "pose_detector.tflite"

_MODELS = {
    model.name: model
    for model in (
        Model(
            "blazepose-heavy",
            27_709_200,
            "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
            "Apache-2.0",
            "BlazePose landmarks, heavy: the accurate one, 24-45 fps on two cores",
            "package/pose_landmark_heavy.tflite",
        ),
        Model(
            "blazepose-full",
            6_440_512,
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            "Apache-2.0",
            "BlazePose landmarks, full: twice as fast, swaps left and right in some views",
            "package/pose_landmark_full.tflite",
            wheel_member="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        ),
        Model(
            "blazepose-lite",
            2_819_824,
            "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
            "Apache-2.0",
            "BlazePose landmarks, lite: for a quick look only",
            "package/pose_landmark_lite.tflite",
        ),
        Model(
            "blazepose-person",
            2_962_288,
            "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
            "Apache-2.0",
            "BlazePose person detector, needed by all three",
            "package/pose_solution_packed_assets.data",
            wheel_member="mediapipe/modules/pose_detection/pose_detection.tflite",
            also_sha256=("9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",),
        ),
    )
}


def list_models() -> list[Model]:
    """All model files that can be fetched or added."""
    return list(_MODELS.values())


def status(name: str | None = None) -> list[Status]:
    """Which model files are there and whole (each present file is read once)."""
    names = [name] if name is not None else list(_MODELS)
    out = []
    for each in names:
        model, path = _model(each), path_of(each)
        present = path.is_file()
        valid = present and _accepted(model, path)
        origin = _record(path).get("origin", "") if present else ""
        out.append(Status(each, path, present, valid, origin, model.size, model.about))
    return out


def path_of(name: str) -> Path:
    """Where the file of a model lies in the cache, whether it is there or not."""
    return _fetch.cache_dir() / "weights" / _model(name).file_name


def find(name: str) -> Path:
    """The file of a model, if it is there and whole; never downloads.

    Raises:
        InputError: no such model.
        WeightsError: missing or damaged.
    """
    model, path = _model(name), path_of(name)
    if not path.is_file():
        raise WeightsError(
            f"The weights {name!r} are not on this machine.",
            f"Fetch them: sportcore weights fetch {name}. {_hand(model)}",
        )
    if not _accepted(model, path):
        raise WeightsError(
            f"{path} is damaged or another file (its SHA-256 is not that of {name}).",
            f"Fetch it again: sportcore weights remove {name}; sportcore weights fetch {name}.",
        )
    return path


def verify(name: str) -> bool:
    """True when the file of a model is there and its SHA-256 is right."""
    return status(name)[0].valid


def ensure(name: str, *, progress: Progress | None = None, allow_substitute: bool = True) -> Path:
    """Have a model file in the cache, fetching it where needed, and return its path.

    For a landmark network the person detector comes along, as they lie in the same package.

    Args:
        name: of the model.
        progress: called with bytes done, bytes in all, and a word on what is going on.
        allow_substitute: let ``blazepose-full`` take the place of ``blazepose-heavy`` where only that can be had;
            the returned path then is that of ``blazepose-full``, and a warning is logged.

    Raises:
        InputError: no such model.
        WeightsError: no route worked; the message says how to put the file in place by hand.
    """
    model = _model(name)
    wanted = [n for n in dict.fromkeys((name, "blazepose-person")) if not verify(n)]
    if not wanted:
        return path_of(name)
    reasons: list[str] = []
    for route in (_from_npm, _from_bundle, _from_wheel):
        try:
            route(name, wanted, progress)
        except (_fetch.FetchError, WeightsError) as error:
            reasons.append(error.message)
            log.info("weights %s: %s", name, error.message)
        wanted = [n for n in wanted if not verify(n)]
        if not wanted:
            return path_of(name)
    if name == "blazepose-heavy" and allow_substitute and verify("blazepose-full") and verify("blazepose-person"):
        log.warning("%s", substitution_warning(name, "blazepose-full"))
        return path_of("blazepose-full")
    raise WeightsError(f"The weights {name!r} cannot be fetched: {'; '.join(reasons)}.", _hand(model))


def substitution_warning(asked: str, got: str) -> str:
    """What is lost when one network takes the place of another (measured on Pose2Sim's single-person demo)."""
    return (
        f"{asked} cannot be fetched here; {got} takes its place. Expect worse joints: on the demo the mean residual "
        "is 42 px instead of 12 px, bone lengths vary by 15 % instead of 4 %, and left and right are swapped in a "
        "third of one camera's frames. Put the heavy file in place (sportcore weights add) for real work."
    )


def remove(name: str) -> bool:
    """Delete the file of a model; True when there was one."""
    path = path_of(name)
    existed = path.is_file()
    path.unlink(missing_ok=True)
    _record_path(path).unlink(missing_ok=True)
    return existed


def add_local(path: str | Path, name: str | None = None, *, allow_unknown: bool = False) -> list[str]:
    """Take weights from a file of your own: a ``.tflite``, the npm ``.tgz``, the mediapipe wheel or a ``.task``.

    Args:
        path: the file; it is copied.
        name: which model it is; needed only for a ``.tflite`` that the library does not know.
        allow_unknown: accept a ``.tflite`` with another SHA-256 under ``name`` (your own training or conversion);
            the network's shape is still checked when it is loaded.

    Returns:
        Names of the models that were put in place.

    Raises:
        InputError: no such file, or not one of these kinds.
        WeightsError: the file is not the model that it should be.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    with open(path, "rb") as file:
        head = file.read(8)
    if head[4:8] == b"TFL3":
        return [_add_tflite(path, name, allow_unknown)]
    try:
        if head[:2] == b"\x1f\x8b":
            return _unpack(path, {n: m.npm_member for n, m in _MODELS.items()}, f"npm archive {path.name}")
        if zipfile.is_zipfile(path):
            members = zipfile.ZipFile(path).namelist()
            if _BUNDLE_LANDMARKS in members:
                return _add_bundle(path)
            known = {n: m.wheel_member for n, m in _MODELS.items() if m.wheel_member in members}
            return _unpack(path, known, f"wheel {path.name}")
    except _fetch.FetchError as error:
        raise WeightsError(error.message, "Fetch the archive again.") from error
    raise InputError(
        f"{path} is not a TFLite model, npm archive, wheel or .task bundle.",
        "An ONNX pose model is used directly: detector = 'onnx:/path/to/model.onnx'.",
    )


def file_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hash_file(path)


def identify(path: str | Path) -> str | None:
    """Name of the model that a file is, told by its SHA-256; None for an unknown file."""
    digest = hash_file(path)
    return next((m.name for m in _MODELS.values() if digest == m.sha256 or digest in m.also_sha256), None)


# --- routes ---------------------------------------------------------------------------------------------


def _from_npm(name: str, wanted: list[str], progress: Progress | None) -> None:
    archive = _fetch.fetch(_NPM, progress=progress)
    _unpack(archive, {n: m.npm_member for n, m in _MODELS.items()}, f"npm {_NPM.package}@{_NPM.version}")
    archive.unlink(missing_ok=True)


def _from_bundle(name: str, wanted: list[str], progress: Progress | None) -> None:
    source = _BUNDLES.get(name, _BUNDLES["blazepose-lite"])  # every bundle has the person detector
    bundle = _fetch.fetch(source, progress=progress)
    _add_bundle(bundle, landmarks=name in _BUNDLES)
    bundle.unlink(missing_ok=True)


def _from_wheel(name: str, wanted: list[str], progress: Progress | None) -> None:
    if name == "blazepose-lite":
        raise WeightsError(f"the wheel of mediapipe {_WHEEL.version} does not hold {name}")
    wheel = _fetch.fetch(_WHEEL, progress=progress)
    known = {n: m.wheel_member for n, m in _MODELS.items() if m.wheel_member and not verify(n)}
    _unpack(wheel, known, f"wheel {_WHEEL.file_name}")
    wheel.unlink(missing_ok=True)


def _unpack(archive: Path, members: dict[str, str], origin: str) -> list[str]:
    """Take models out of an archive; each must have its pinned SHA-256."""
    if not members:
        raise WeightsError(f"{archive} holds none of the known model files.")
    folder = _fetch.cache_dir() / "weights"
    waiting = {member: folder / f".{n}.incoming" for n, member in members.items()}
    done = []
    try:
        _fetch.extract_members(archive, waiting)
        for n, member in members.items():
            digest = hash_file(waiting[member])
            if digest not in (_MODELS[n].sha256, *_MODELS[n].also_sha256):
                raise WeightsError(f"{member} in {archive.name} has SHA-256 {digest}, expected {_MODELS[n].sha256}.")
            _place(waiting[member], n, digest, origin)
            done.append(n)
    finally:
        for path in waiting.values():
            path.unlink(missing_ok=True)
    return done


def _add_bundle(bundle: Path, *, landmarks: bool = True) -> list[str]:
    """Take both networks out of a ``.task`` bundle, which itself is pinned; its members are checked by loading."""
    digest = hash_file(bundle)
    name = next((n for n, source in _BUNDLES.items() if source.sha256 == digest), None)
    if name is None:
        raise WeightsError(
            f"{bundle.name} has SHA-256 {digest}, which is none of the published bundles.",
            f"Download one of: {', '.join(source.url for source in _BUNDLES.values())}",
        )
    parts = {"blazepose-person": _BUNDLE_PERSON}
    if landmarks:
        parts[name] = _BUNDLE_LANDMARKS
    folder = _fetch.cache_dir() / "weights"
    waiting = {member: folder / f".{n}.incoming" for n, member in parts.items()}
    try:
        _fetch.extract_members(bundle, waiting)
        for n, member in parts.items():
            if n == "blazepose-person" and verify(n):
                continue
            _check_network(waiting[member], n)
            _place(waiting[member], n, hash_file(waiting[member]), f"bundle {bundle.name} {digest}")
    finally:
        for path in waiting.values():
            path.unlink(missing_ok=True)
    return list(parts)


def _check_network(path: Path, name: str) -> None:
    """Load a file as the network it should be; raises WeightsError where it is another."""
    from sportcore.keypoints2d.landmarks import LandmarkNet
    from sportcore.keypoints2d.person import PersonDetector

    if name == "blazepose-person":
        PersonDetector(path, num_threads=1)
    else:
        LandmarkNet(path, num_threads=1)


def _add_tflite(path: Path, name: str | None, allow_unknown: bool) -> str:
    digest = hash_file(path)
    known = identify(path)
    if known is not None and name in (None, known):
        name = known
    elif name is None:
        raise WeightsError(
            f"{path} has SHA-256 {digest}, which is none of the known models.",
            "Say which model it stands for (name=...) and that this is intended (allow_unknown=True).",
        )
    elif not allow_unknown:
        raise WeightsError(
            f"{path} has SHA-256 {digest}, expected {_model(name).sha256} for {name}.",
            "If it is your own file and this is intended, pass allow_unknown=True.",
        )
    else:
        _check_network(path, _model(name).name)
    target = path_of(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    write_json(_record_path(target), {"sha256": digest, "origin": f"local file {path.name}"})
    return name


def _place(incoming: Path, name: str, digest: str, origin: str) -> None:
    target = path_of(name)
    os.replace(incoming, target)
    write_json(_record_path(target), {"sha256": digest, "origin": origin})


# --- small things ---------------------------------------------------------------------------------------


def _model(name: str) -> Model:
    if name not in _MODELS:
        raise InputError(f"There is no model {name!r}.", f"Known: {', '.join(_MODELS)}.")
    return _MODELS[name]


def _accepted(model: Model, path: Path) -> bool:
    """The pinned file; or one that was taken in with a record of its own, unchanged since."""
    digest = hash_file(path)
    return digest in (model.sha256, *model.also_sha256, _record(path).get("sha256"))


def _record_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _record(path: Path) -> dict[str, str]:
    try:
        data = json.loads(_record_path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _hand(model: Model) -> str:
    return (
        f"By hand: on a machine with network run 'npm pack {_NPM.package}@{_NPM.version}', bring the .tgz here, and "
        f"run 'sportcore weights add {_NPM.file_name}'; or put {Path(model.npm_member).name} (SHA-256 {model.sha256}) "
        f"at {path_of(model.name)}."
    )
