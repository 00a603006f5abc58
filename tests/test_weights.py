"""Model files: routes, pins, local files. Tiny stand-in models; nothing is downloaded."""

from __future__ import annotations

import hashlib
import io
import logging
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sportcore import fetch, weights
from sportcore.errors import InputError, WeightsError

NAMES = ["blazepose-heavy", "blazepose-full", "blazepose-lite", "blazepose-person"]
CONTENT = {name: b"\x1c\x00\x00\x00TFL3" + name.encode() * 50 for name in NAMES}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache in a temporary folder; the models are a few hundred bytes; every route is closed."""
    monkeypatch.setenv("SPORTCORE_CACHE", str(tmp_path / "cache"))
    tiny = {
        n: replace(m, sha256=sha(CONTENT[n]), size=len(CONTENT[n]), also_sha256=()) for n, m in weights._MODELS.items()
    }
    monkeypatch.setattr(weights, "_MODELS", tiny)
    closed(monkeypatch)
    return tmp_path


def closed(monkeypatch: pytest.MonkeyPatch, **open_routes: Callable[[Path], None]) -> list[str]:
    """Let ``fetch.fetch`` fail, but for the kinds given: url, npm, wheel -> a function that writes the archive."""
    tried: list[str] = []

    def stand_in(source: fetch.Source, *, progress: object = None, folder: object = None) -> Path:
        kind = {"Url": "url", "NpmPackage": "npm", "Wheel": "wheel"}[type(source).__name__]
        tried.append(kind)
        if kind not in open_routes:
            raise fetch.FetchError(f"no way by {kind}")
        path = fetch.cache_dir() / "downloads" / source.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        open_routes[kind](path)
        return path

    monkeypatch.setattr(weights._fetch, "fetch", stand_in)
    return tried


def npm_archive(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, model in weights._MODELS.items():
            info = tarfile.TarInfo(model.npm_member)
            info.size = len(CONTENT[name])
            archive.addfile(info, io.BytesIO(CONTENT[name]))


def wheel(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("blazepose-full", "blazepose-person"):
            archive.writestr(weights._MODELS[name].wheel_member, CONTENT[name])


def test_known_models_are_pinned() -> None:
    models = {m.name: m for m in weights.list_models()}
    assert list(models) == NAMES
    assert models["blazepose-heavy"].sha256.startswith("59e42d71") and models["blazepose-heavy"].size == 27_709_200
    assert models["blazepose-full"].sha256.startswith("e9a5c5cb")
    assert models["blazepose-lite"].sha256.startswith("f17bfbec")
    assert models["blazepose-person"].sha256.startswith("a63c614b")
    pins = [models[n].sha256 for n in NAMES] + [weights._NPM.sha256, weights._WHEEL.sha256]
    pins += [b.sha256 for b in weights._BUNDLES.values()]
    assert all(len(p) == 64 and set(p) <= set("0123456789abcdef") for p in pins) and len(set(pins)) == len(pins)
    assert all(m.licence == "Apache-2.0" for m in models.values())


def test_nothing_there_is_said_clearly(small: Path) -> None:
    assert all(not s.present and not s.valid for s in weights.status())
    with pytest.raises(WeightsError) as caught:
        weights.find("blazepose-heavy")
    text = str(caught.value)
    assert "sportcore weights fetch blazepose-heavy" in text and "npm pack @mediapipe/pose@0.5.1675469404" in text
    assert str(weights.path_of("blazepose-heavy")) in text
    with pytest.raises(InputError, match=r"no model 'heavy'.*blazepose-heavy"):
        weights.find("heavy")


def test_npm_brings_all_four(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = closed(monkeypatch, npm=npm_archive)
    path = weights.ensure("blazepose-lite")
    assert path.read_bytes() == CONTENT["blazepose-lite"]
    assert all(s.valid and s.origin == "npm @mediapipe/pose@0.5.1675469404" for s in weights.status())
    for name in NAMES:
        weights.ensure(name)
    assert tried == ["npm"], "what is there is not fetched again"
    assert not list((small / "cache" / "downloads").glob("*.tgz")), "the archive is not kept"
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]
    assert weights.identify(path) == "blazepose-lite" and weights.verify("blazepose-lite")


def test_wheel_is_the_last_route_and_warns(
    small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = closed(monkeypatch, wheel=wheel)
    with caplog.at_level(logging.WARNING):
        path = weights.ensure("blazepose-heavy")
    assert tried == ["npm", "url", "wheel"]
    assert path == weights.path_of("blazepose-full")
    assert "42 px instead of 12 px" in caplog.text and "swapped" in caplog.text
    assert not weights.path_of("blazepose-heavy").exists(), "full never lies under heavy's name"
    with pytest.raises(WeightsError, match="no way by npm; no way by url"):
        weights.ensure("blazepose-heavy", allow_substitute=False)
    caplog.clear()
    assert weights.ensure("blazepose-full") == path and not caplog.text


def test_lite_is_not_replaced(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed(monkeypatch, wheel=wheel)
    with pytest.raises(WeightsError, match="does not hold blazepose-lite") as caught:
        weights.ensure("blazepose-lite")
    assert "By hand" in caught.value.remedy


def test_bundle_route_checks_the_networks(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def bundle(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("pose_landmarks_detector.tflite", CONTENT["blazepose-heavy"])
            archive.writestr("pose_detector.tflite", CONTENT["blazepose-person"])

    bundle(small / "b.task")
    pin = sha((small / "b.task").read_bytes())
    monkeypatch.setitem(weights._BUNDLES, "blazepose-heavy", replace(weights._BUNDLES["blazepose-heavy"], sha256=pin))

    def write(path: Path) -> None:
        path.write_bytes((small / "b.task").read_bytes())

    monkeypatch.setattr(weights, "_check_network", lambda path, name: checked.append(name))
    closed(monkeypatch, url=write)
    assert weights.ensure("blazepose-heavy").read_bytes() == CONTENT["blazepose-heavy"]
    assert sorted(checked) == ["blazepose-heavy", "blazepose-person"]
    for name in checked:
        weights.remove(name)

    def refuse(path: Path, name: str) -> None:
        raise WeightsError(f"{path} is not it")

    monkeypatch.setattr(weights, "_check_network", refuse)
    with pytest.raises(WeightsError, match="is not it"):
        weights.ensure("blazepose-heavy")
    assert not weights.path_of("blazepose-heavy").exists()


def test_archive_with_another_file_is_refused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def evil(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for model in weights._MODELS.values():
                info = tarfile.TarInfo(model.npm_member)
                info.size = 4
                archive.addfile(info, io.BytesIO(b"evil"))

    closed(monkeypatch, npm=evil)
    with pytest.raises(WeightsError, match="expected " + sha(CONTENT["blazepose-heavy"])):
        weights.ensure("blazepose-heavy")
    assert not any(s.present for s in weights.status())


def test_damaged_file_is_noticed_and_mended(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed(monkeypatch, npm=npm_archive)
    path = weights.ensure("blazepose-heavy")
    path.write_bytes(path.read_bytes()[:-1])
    assert not weights.verify("blazepose-heavy")
    with pytest.raises(WeightsError, match="damaged"):
        weights.find("blazepose-heavy")
    assert weights.ensure("blazepose-heavy").read_bytes() == CONTENT["blazepose-heavy"]
    assert weights.remove("blazepose-heavy") and not weights.remove("blazepose-heavy")


def test_local_files(small: Path) -> None:
    own = small / "model.bin"
    own.write_bytes(CONTENT["blazepose-heavy"])
    assert weights.add_local(own) == ["blazepose-heavy"]
    assert weights.find("blazepose-heavy").read_bytes() == CONTENT["blazepose-heavy"]
    npm_archive(small / "a.tgz")
    assert sorted(weights.add_local(small / "a.tgz")) == sorted(NAMES)
    for name in NAMES:
        weights.remove(name)
    wheel(small / "m.whl")
    assert weights.add_local(small / "m.whl") == ["blazepose-full", "blazepose-person"]
    assert "m.whl" in weights.status("blazepose-full")[0].origin


def test_unknown_local_files(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = small / "mine.tflite"
    own.write_bytes(b"\x1c\x00\x00\x00TFL3my own training")
    with pytest.raises(WeightsError, match="none of the known models"):
        weights.add_local(own)
    with pytest.raises(WeightsError, match="allow_unknown=True"):
        weights.add_local(own, "blazepose-heavy")
    monkeypatch.setattr(weights, "_check_network", lambda path, name: None)
    assert weights.add_local(own, "blazepose-heavy", allow_unknown=True) == ["blazepose-heavy"]
    state = weights.status("blazepose-heavy")[0]
    assert state.valid and state.origin == "local file mine.tflite"
    state.path.write_bytes(b"changed since")
    assert not weights.verify("blazepose-heavy")
    (small / "x.txt").write_text("hello")
    with pytest.raises(InputError, match="not a TFLite model"):
        weights.add_local(small / "x.txt")
    with pytest.raises(InputError, match="no file"):
        weights.add_local(small / "none")
    with zipfile.ZipFile(small / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(WeightsError, match="holds none"):
        weights.add_local(small / "other.zip")


def test_status_is_plain(small: Path) -> None:
    import json

    rows = [s.to_dict() for s in weights.status()]
    assert [r["name"] for r in json.loads(json.dumps(rows))] == NAMES


def test_pose2sim_demo_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the wanted members come out of the wheel; damaged ones are replaced; another content is refused."""
    from sportcore.datasets import pose2sim_demo as demo

    prefix, files = demo.RECORDINGS["single_person"]
    assert [to for _, to, _ in files] == ["cam01.mp4", "cam02.mp4", "cam03.mp4", "cam04.mp4", "Calib.qca.txt"]
    content = {member: member.encode() for member, _, _ in files}
    monkeypatch.setitem(demo.RECORDINGS, "single_person", (prefix, [(m, to, sha(content[m])) for m, to, _ in files]))

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("Pose2Sim/__init__.py", "raise SystemExit")
            for member, data in content.items():
                archive.writestr(prefix + member, data)

    monkeypatch.setenv("SPORTCORE_CACHE", str(tmp_path / "cache"))
    tried = closed(monkeypatch, wheel=write)
    assert not demo.available(tmp_path / "one")
    folder = demo.ensure_single_person(tmp_path / "one")
    assert sorted(p.name for p in folder.iterdir()) == sorted(to for _, to, _ in files)
    assert demo.available(folder) and demo.ensure_single_person(folder) == folder and tried == ["wheel"]
    (folder / "cam02.mp4").write_bytes(b"damaged")
    demo.ensure_single_person(folder)
    assert demo.available(folder) and len(tried) == 2
    content["videos/cam03.mp4"] = b"another film"
    (folder / "cam03.mp4").unlink()
    with pytest.raises(fetch.FetchError, match=r"cam03\.mp4"):
        demo.ensure_single_person(folder)
    with pytest.raises(InputError, match="Known: single_person"):
        demo.ensure("marathon")
