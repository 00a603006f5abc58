"""docs/calibrate.md: what it says of messages, commands and options is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sportcore.cli import _overrides, _parser
from sportcore.options import from_table

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "calibrate.md").read_text(encoding="utf-8")


def sources() -> str:
    """All Python sources as one line, string literals that follow each other joined."""
    text = "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "python" / "sportcore").rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", text)


def refusals() -> list[str]:
    table = TEXT.split("## When it is refused")[1].split("`--force`")[0]
    cells = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    return [phrase for cell in cells[1:] for phrase in cell.split(" / ")]


def test_every_refusal_of_the_table_is_one_of_the_code() -> None:
    code = sources()
    assert len(refusals()) > 20
    unknown = []
    for phrase in refusals():
        pieces = [p.strip(" :.`") for p in re.split(r"…|\d+", phrase)]
        longest = max(pieces, key=len)
        if "The cameras of" in phrase:  # its middle is a name
            longest = "are not those of the videos"
        if longest not in code:
            unknown.append(phrase)
    assert unknown == []


def test_the_commands_parse() -> None:
    commands = re.findall(r"`(sportcore [^`]*)`|^    (sportcore .*)$", TEXT, re.M)
    commands = [a or b for a, b in commands]
    assert len(commands) >= 3
    for command in commands:
        words = command.split()[1:]
        args = _parser().parse_args(words if len(words) > 1 else [*words, "FOLDER"])
        assert args.verb == words[0]


@pytest.mark.parametrize("item", sorted(set(re.findall(r"--set ([\w.]+=[\w.]+)", TEXT))))
def test_the_options_exist(item: str) -> None:
    from sportcore.cameras import CalibrateOptions
    from sportcore.session import CameraOptions, DetectOptions
    from sportcore.sync import SyncOptions

    args = _parser().parse_args(["calibrate", "FOLDER", "--set", item])
    ((key, value),) = _overrides(args).items()
    section, name, *inner = key.split(".")
    options = {"calibrate": CalibrateOptions, "cameras": CameraOptions, "sync": SyncOptions, "detect": DetectOptions}
    from_table(options[section], {name: {inner[0]: value} if inner else value})


def test_links_and_the_picture_are_there() -> None:
    for target in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (ROOT / "docs" / target).is_file(), target
    assert "<svg" in (ROOT / "docs" / "media" / "filming.svg").read_text(encoding="utf-8")
