"""The command line: one verb per stage, each resumable."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .errors import Cancelled, InputError, SportcoreError
from .terminal import make_view, table

EXIT_OK, EXIT_UNUSABLE, EXIT_ERROR, EXIT_INTERRUPTED = 0, 3, 2, 130

_STAGE_HELP = {
    "detect": "find the athlete's joints in every frame of every video",
    "sync": "bring all cameras to one time base",
    "calibrate": "find the cameras from the moving body (up to Calib.toml)",
    "triangulate": "compute the 3D motion with its uncertainty",
    "lift": "3D from each camera on its own, with the monocular model",
    "pseudolabel": "turn the 3D motion into labels for every camera",
    "finetune": "teach the monocular model this sport",
    "evaluate": "compare one camera with all of them, before and after tuning",
    "export": "write .npz, .trc, .c3d, Calib.toml and the tuned model",
    "report": "write report.html",
}

_RUN_EPILOG = """\
A session is a folder with one video per camera (or a folder `videos` in it); the file name is the camera's name.
Put a calibration file beside them for the lenses (any format: Pose2Sim, Qualisys, aniposelib, OpenCV ...), and a
session.toml for what else you know, for instance

    [athlete]
    height_m = 1.78

Several athletes at once, or people who walk through the picture:

    sportcore run SESSION --people all --height 1.82,1.69

follows everybody whom two cameras see, finds the cameras from all who move, and writes one set of results for each
person: points3d_p0.npz, motion_*_p0.trc ... for the one seen most, _p1 for the next. Who was left out, and why, stands
in report.html. docs/people.md says what this needs.

Results go to SESSION/sportcore: Calib.toml, points3d.npz, motion_*.trc, motion_*.c3d, lifter.safetensors and
report.html. A run that was stopped goes on where it was; a changed option redoes only what depends on it.

Exit status: 0 the result is usable, 3 it was computed but should not be trusted, 2 it could not be computed,
130 stopped by Ctrl-C.
"""


_CALIBRATE_EPILOG = """\
FOLDER holds one video per camera (or a folder `videos` that does); the file name is the camera's name. Film one athlete
who walks or plays through the whole field of view for ten seconds or more: docs/calibrate.md has a picture.

    sportcore calibrate FOLDER --height 1.78                    the stature gives the metres
    sportcore calibrate FOLDER --set cameras.fov_deg=68         lenses: the horizontal angle of view of all cameras
    sportcore calibrate FOLDER --set calibrate.refine_focal=shared      ... or let the motion find it
    sportcore calibrate FOLDER --people all --height 1.82,1.69     several athletes in view

Lenses that are known exactly come from a calibration file beside the videos (Pose2Sim, Qualisys, Vicon, OpenCV ...).
Writes FOLDER/sportcore/Calib.toml, which Pose2Sim reads as well. What is known of the session can stand in
FOLDER/session.toml instead of the command line. The same command again goes on where it was stopped.

Exit status: 0 the cameras can be used, 3 they were computed but should not be trusted, 2 they could not be computed.
"""

_SYNC_EPILOG = """\
FOLDER holds one video per camera (or a folder `videos` that does). The lateness of each camera against the first is
measured from the athlete's motion and corrected where it is clear; what is not clear is left as it is and said.

    sportcore sync FOLDER --set sync.offsets.cam02=0.25     cam02 looks 0.25 s later than the first: as you know it
    sportcore sync FOLDER --set sync.trim=true              videos of different lengths: keep what they have in common
    sportcore sync FOLDER --set sync.resample=true          cameras with different frame rates

Exit status: 0 the cameras are on one time base, 2 they could not be brought there.
"""


def _value(text: str) -> Any:
    """A value as TOML would read it; anything else is a string."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pragma: no cover
        import tomli as tomllib
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _statures(text: str) -> list[float]:
    """One stature or several, with commas between them."""
    try:
        return [float(v) for v in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a stature in metres, or several: 1.78 or 1.82,1.69"
        ) from None


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for item in args.set or ():
        key, eq, value = item.partition("=")
        if not eq or "." not in key:
            raise InputError(f"--set {item!r} is not SECTION.NAME=VALUE.", "For instance --set tune.iterations=1")
        out[key.strip()] = _value(value.strip())
    heights = getattr(args, "height", None) or []
    if len(heights) == 1:
        out["athlete.height_m"], out["athlete.heights_m"] = heights[0], None
    elif heights:
        out["athlete.height_m"], out["athlete.heights_m"] = None, heights
    if getattr(args, "people", None) is not None:
        out["detect.people"] = args.people
    if getattr(args, "model", None) is not None:
        out["detect.model"] = args.model
    if getattr(args, "lifter", None) is not None:
        out["lift.model"] = args.lifter
    if getattr(args, "rounds", None) is not None:
        out["tune.iterations"] = args.rounds
    if getattr(args, "force", False):
        out["calibrate.force"] = True
    return out


def _common(p: argparse.ArgumentParser) -> None:
    p.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")
    p.add_argument("--json", action="store_true", help="print the summary as JSON on standard output")
    p.add_argument("-v", "--verbose", action="store_true", help="show log messages and the trace of an error")


def _people_option(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--people", choices=("one", "follow", "all"),
        help="several people in view: `one` refuses that (default), `follow` follows the most visible one, `all` "
        "follows everybody: results for each, cameras from all",
    )  # fmt: skip


def _session_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("session", type=Path, help="folder with the videos, or one video")
    p.add_argument(
        "--height", type=_statures, metavar="M[,M...]",
        help="stature of the athlete in metres, or of all athletes (1.82,1.69); gives the scale",
    )  # fmt: skip
    _people_option(p)
    p.add_argument("--model", help="2D detector: blazepose-heavy (default), -full, -lite, onnx:FILE, rtmlib, files")
    p.add_argument("--lifter", metavar="FILE", help="monocular model to start from (default: the one that is shipped)")
    p.add_argument("--rounds", type=int, metavar="N", help="rounds of calibrate, label, fine-tune (default 2; 0: none)")
    p.add_argument("--force", action="store_true", help="return a calibration even when it should not be trusted")
    p.add_argument("--set", action="append", metavar="SECTION.NAME=VALUE", help="an option of session.toml; repeatable")
    _common(p)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="sportcore",
        description="Calibrated cameras, 3D motion and a tuned monocular model from a few ordinary cameras.",
        epilog="Start with `sportcore demo`, then `sportcore run --help`.", formatter_class=raw,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"sportcore {__version__}")
    sub = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    p = sub.add_parser("demo", help="the main job on four real videos, with a table at the end", formatter_class=raw)
    p.add_argument("--dir", type=Path, default=Path("sportcore-demo"), help="where to work (default: sportcore-demo)")
    p.add_argument("--synthetic", action="store_true", help="use a synthetic session instead of downloading the videos")
    _common(p)

    p = sub.add_parser("run", help="the whole road on a session folder", epilog=_RUN_EPILOG, formatter_class=raw)
    p.add_argument("--until", metavar="STAGE", help="stop after this stage")
    _session_options(p)
    for verb, text in _STAGE_HELP.items():
        epilog = {"calibrate": _CALIBRATE_EPILOG, "sync": _SYNC_EPILOG}.get(verb, _RUN_EPILOG)
        p = sub.add_parser(
            verb, help=text, formatter_class=raw, epilog=epilog,
            description=f"{text[0].upper()}{text[1:]}. Stages before it are done when they are not done yet.",
        )  # fmt: skip
        _session_options(p)

    p = sub.add_parser("batch", help="run several sessions, one after the other", formatter_class=raw)
    p.add_argument("sessions", type=Path, nargs="+", help="session folders, or one folder that holds them")
    p.add_argument("--until", metavar="STAGE", help="stop after this stage")
    p.add_argument("--height", type=_statures, metavar="M[,M...]", help="stature in metres, for all of them")
    _people_option(p)
    p.add_argument("--set", action="append", metavar="SECTION.NAME=VALUE", help="any option of session.toml")
    _common(p)

    p = sub.add_parser("view", help="open the report of a session in the browser")
    p.add_argument("session", type=Path)
    p.add_argument("--print", action="store_true", dest="only_print", help="print its path instead")
    _common(p)

    p = sub.add_parser("weights", help="list, fetch or remove the detector's model files", formatter_class=raw)
    p.add_argument("action", nargs="?", choices=("list", "fetch", "add", "verify", "remove"), default="list")
    p.add_argument("names", nargs="*", help="model names (fetch, verify, remove) or files of your own (add)")
    _common(p)

    p = sub.add_parser("doctor", help="say what this installation can do, and what is missing")
    _common(p)

    p = sub.add_parser("pretrain", help="train the monocular base model on motion capture", formatter_class=raw)
    p.add_argument("data", type=Path, help="motion capture file (.npz), see docs/lifters.md")
    p.add_argument("--recipe", default="base", help="base (default), base-daily, motionagformer-xs, motionagformer-s")
    p.add_argument("out", type=Path, help="folder for checkpoints, log and the final model")
    p.add_argument("--set", action="append", metavar="NAME=VALUE", help="an option of the recipe; repeatable")
    _common(p)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO if args.verbose else logging.ERROR, format="%(name)s: %(message)s")
    try:
        return _dispatch(args)
    except (KeyboardInterrupt, Cancelled):
        print("Stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except SportcoreError as error:
        if args.verbose:
            logging.getLogger(__name__).exception("where it happened")
        print(f"sportcore: {error}", file=sys.stderr)
        return EXIT_ERROR
    except OSError as error:
        if args.verbose:
            logging.getLogger(__name__).exception("where it happened")
        print(f"sportcore: {error}. Finished stages are kept.", file=sys.stderr)
        return EXIT_ERROR


def _dispatch(args: argparse.Namespace) -> int:
    from . import commands

    if args.verb == "run":
        return _run(args, args.until or "report")
    if args.verb in _STAGE_HELP:
        return _run(args, args.verb)
    return int(getattr(commands, args.verb)(args, _overrides if hasattr(args, "set") else None))


def _run(args: argparse.Namespace, until: str) -> int:
    from .pipeline import run

    with make_view(args.quiet or args.json) as view:
        result = run(args.session, until=until, overrides=_overrides(args), view=view)
    return show(result, args)


def _by_verb(result: Any, args: argparse.Namespace) -> str | None:
    """The table of a verb whose numbers are worth a look, or None."""
    from .io import read_rig
    from .summaries import calibration_summary, people_summary, sync_summary

    report = result.summary.get("report")
    people = result.summary.get("people")
    if not isinstance(report, dict) or args.verb not in ("calibrate", "sync"):
        return people_summary(people) if isinstance(people, dict) else None
    if args.verb == "sync":
        return sync_summary(report, result.warnings)
    rig = read_rig(result.files["cameras"]) if "cameras" in result.files else None
    text = calibration_summary(report, rig, result.warnings)
    return text if not isinstance(people, dict) else f"{people_summary(people)}\n\n{text}"


def show(result: Any, args: argparse.Namespace) -> int:
    """Print what a run left behind; returns the exit status."""
    if args.json:
        print(json.dumps(dict(result.summary), indent=2))
    elif not args.quiet:
        if (text := _by_verb(result, args)) is not None:
            print(text + "\n")
        if result.files:
            print(table([[k, str(v)] for k, v in result.files.items()], ["written", "file"]))
        if result.usable:
            print(result.verdict)
    if not result.usable:
        print(f"sportcore: the result is not usable. {result.verdict}", file=sys.stderr)
        return EXIT_UNUSABLE
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
