"""Who is compared, and under which name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        key: name on the command line.
        label: name in the tables.
        adapter: file in ``adapters/``.
        setting: key of the adapter's ``SETTINGS``.
        ours: runs in the project's environment, not the peers'.
        from_truth: is started next to the truth; shown apart, never ranked.
        most_seeds: a slow method is run on fewer scenes of a kind.
    """

    key: str
    label: str
    adapter: str
    setting: str = "defaults"
    ours: bool = False
    from_truth: bool = False
    most_seeds: int = 1000


METHODS = (
    Method("sportcore", "sportcore", "ours", ours=True),
    Method("sportcore-lifter", "sportcore, with monocular 3D", "ours", "lifter", ours=True),
    Method("sportcore-lee2022", "sportcore, method of Lee et al. 2022", "ours", "lee2022", ours=True),
    Method("humancalib", "humancalib", "humancalib"),
    Method("humancalib-best", "humancalib, 300 frames", "humancalib", "best", most_seeds=1),
    Method("caliscope", "caliscope", "caliscope"),
    Method("caliscope-best", "caliscope, robust to the end", "caliscope", "best"),
    Method("pycolmap", "pycolmap, Cauchy 6 px", "pycolmap", from_truth=True),
    Method("pycolmap-best", "pycolmap, Cauchy 2 px", "pycolmap", "best", from_truth=True),
    Method("aniposelib", "aniposelib", "aniposelib", from_truth=True, most_seeds=1),
    Method("aniposelib-best", "aniposelib, more points", "aniposelib", "best", from_truth=True, most_seeds=1),
)


def choose(keys: str | None, lee2022: bool) -> tuple[Method, ...]:
    """The methods named in a comma-separated list, or all that there are.

    Raises:
        ValueError: a name that is not known.
    """
    there = tuple(m for m in METHODS if lee2022 or m.setting != "lee2022")
    if keys is None:
        return there
    wanted = [k.strip() for k in keys.split(",") if k.strip()]
    known = {m.key: m for m in there}
    unknown = [k for k in wanted if k not in known]
    if unknown:
        raise ValueError(f"no method {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[k] for k in wanted)
