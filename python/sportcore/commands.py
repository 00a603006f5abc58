"""What the command line's verbs do besides running stages; `cli.py` parses, this works."""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import InputError, SportcoreError
from .io.atomic import to_jsonable
from .terminal import bound, make_view, table

Overrides = Callable[[argparse.Namespace], dict[str, Any]] | None


def demo(args: argparse.Namespace, overrides: Overrides) -> int:
    """Run the main job on the public demo, or on a synthetic session."""
    from .demo import run_demo

    with make_view(args.quiet or args.json) as view:
        result, text = run_demo(args.dir, synthetic=args.synthetic, view=view)
    if args.json:
        print(json.dumps(dict(result.summary), indent=2))
    elif not args.quiet:
        print(text)
    if not result.usable:
        print(f"sportcore: {result.verdict}", file=sys.stderr)
        return 3
    return 0


def batch(args: argparse.Namespace, overrides: Overrides) -> int:
    """Run several sessions; one that fails does not stop the others."""
    from .pipeline import run

    folders: list[Path] = []
    for path in args.sessions:
        inner = sorted(p for p in path.iterdir() if p.is_dir() and _is_session(p)) if path.is_dir() else []
        folders += inner if inner and not _is_session(path) else [path]
    rows, bad = [], 0
    assert overrides is not None
    for folder in folders:
        with make_view(args.quiet or args.json) as view:
            view.event("", "note", f"{folder}")
            try:
                result = run(folder, until=args.until or "report", overrides=overrides(args), view=view)
                bad += not result.usable
                rows.append([folder.name, "ok" if result.usable else "not usable", result.verdict])
            except SportcoreError as error:
                bad += 1
                rows.append([folder.name, "error", str(error)])
    if args.json:
        print(json.dumps([dict(zip(("session", "status", "message"), r, strict=True)) for r in rows], indent=2))
    else:
        print(table(rows, ["session", "status", "result"]))
    if bad:
        print(f"sportcore: {bad} of {len(folders)} sessions have no usable result.", file=sys.stderr)
    return 3 if bad else 0


def _is_session(folder: Path) -> bool:
    from .videos import VIDEO_SUFFIXES

    def holds_video(f: Path) -> bool:
        return f.is_dir() and any(p.suffix.lower() in VIDEO_SUFFIXES for p in f.iterdir())

    return (folder / "session.toml").is_file() or holds_video(folder) or holds_video(folder / "videos")


def view(args: argparse.Namespace, overrides: Overrides) -> int:
    """Open the report."""
    from .session import OUTPUT_FOLDER

    path = args.session if args.session.suffix == ".html" else args.session / OUTPUT_FOLDER / "report.html"
    if not path.is_file():
        raise InputError(f"{path} does not exist.", f"Make it with: sportcore report {args.session}")
    print(path)
    if not args.only_print and not webbrowser.open(path.resolve().as_uri()):
        print("No browser could be opened here; open the file by hand.", file=sys.stderr)
    return 0


def weights(args: argparse.Namespace, overrides: Overrides) -> int:
    """List, fetch, add, verify or remove model files."""
    from . import weights as store

    names = args.names or (["blazepose-heavy", "blazepose-person"] if args.action == "fetch" else [])
    if args.action == "add":
        if not names:
            raise InputError("Name the file to take in.", "For instance: sportcore weights add mediapipe-pose.tgz")
        for file in names:
            print("added " + ", ".join(store.add_local(file)))
    elif args.action == "remove":
        if not names:
            raise InputError("Name the model to remove.", "`sportcore weights` lists them.")
        for name in names:
            print(f"{name}: " + ("removed" if store.remove(name) else "was not there"))
    elif args.action == "fetch":
        with make_view(args.quiet or args.json) as shown:
            for name in names:
                shown.event(name, "start")
                path = store.ensure(name, progress=bound(shown, name))
                shown.event(name, "done", str(path))
                if path.stem != name:
                    print(store.substitution_warning(name, path.stem), file=sys.stderr)
    states = [s for s in store.status() if not args.names or s.name in args.names or args.action == "add"]
    if args.json:
        print(json.dumps([s.to_dict() for s in states], indent=2))
    elif args.action in ("list", "verify"):
        rows = [
            [s.name, f"{s.size / 1e6:.1f} MB", "ok" if s.valid else "damaged" if s.present else "not here", s.about]
            for s in states
        ]
        print(table(rows, ["model", "size", "state", "about"]))
    if args.action == "verify" and not all(s.valid for s in states):
        print("sportcore: some are not here or not whole; `sportcore weights fetch NAME` gets them.", file=sys.stderr)
        return 2
    return 0


def doctor(args: argparse.Namespace, overrides: Overrides) -> int:
    """Say what this installation can do."""
    from . import __version__

    rows = [["sportcore", __version__, ""], ["python", platform.python_version(), platform.platform()]]
    problems = []
    try:
        from . import _core

        cuda = _core.built_with_cuda()
        devices = _core.cuda_device_count() if cuda else 0
        note = (
            f"{_core.kernel_isa()} kernels; CUDA kernels {'built' if cuda else 'not built'}, {devices} CUDA device(s)"
        )
        rows.append(["C++ core", "ok", note])
    except ImportError as error:
        rows.append(["C++ core", "missing", str(error)])
        problems.append("The C++ core is not built: reinstall with `pip install .`")
    for module, extra, what in (
        ("cv2", "", "images, calibration files"), ("av", "detect", "video with true time stamps"),
        ("ai_edge_litert", "detect", "BlazePose detector"), ("onnxruntime", "detect", "ONNX detectors"),
        ("torch", "train", "monocular lifter, fine-tuning"), ("safetensors", "train", "checkpoints"),
        ("ezc3d", "io", ".c3d files"), ("rich", "detect", "progress bars"), ("rtmlib", "", "RTMPose (optional)"),
    ):  # fmt: skip
        there = importlib.util.find_spec(module) is not None
        hint = "" if there or not extra else f'; pip install "sportcore[{extra}]"'
        rows.append([module, "ok" if there else "missing", what + hint])
        if module == "cv2" and not there:
            problems.append("OpenCV is missing: pip install opencv-python (or opencv-python-headless on a server)")
    try:
        from . import weights as store

        rows += [[f"weights {w.name}", "ok" if w.valid else "not here", w.about] for w in store.status()]
    except (SportcoreError, ImportError) as error:
        rows.append(["weights", "unknown", str(error)])
    if args.json:
        print(json.dumps([dict(zip(("part", "state", "note"), r, strict=True)) for r in rows], indent=2))
    else:
        print(table(rows, ["part", "state", "note"]))
    for p in problems:
        print(f"sportcore: {p}", file=sys.stderr)
    return 2 if problems else 0


def pretrain(args: argparse.Namespace, overrides: Overrides) -> int:
    """Train a lifter on motion capture."""
    import dataclasses

    from .cli import _value
    from .lifting.pretrain import pretrain as train
    from .lifting.recipes import recipe
    from .options import from_table

    base = recipe(args.recipe)
    values: dict[str, Any] = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
    for item in args.set or ():
        key, eq, value = item.partition("=")
        if not eq:
            raise InputError(f"--set {item!r} is not NAME=VALUE.")
        values[key.strip()] = _value(value.strip())
    options = from_table(type(base), values, f"recipe {args.recipe!r}")
    with make_view(args.quiet or args.json) as shown:
        result = train(args.data, args.out, options, progress=bound(shown, "pretrain"))
    if args.json:
        print(json.dumps(to_jsonable(result), indent=2))
        return 0
    rows = [[name, *(f"{v:.1f}" for v in errors.values())] for name, errors in result.metrics.items()]
    if rows:
        print(table(rows, ["evaluated on", *next(iter(result.metrics.values()))]))
    print(f"{result.steps} steps, {result.clips_seen} clips, {result.seconds / 60:.0f} minutes: {result.weights}")
    return 0
