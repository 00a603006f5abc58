"""Which instructions a built library holds: nothing beyond x86-64-v2 outside the objects made for more.

    python cmake/check_isa.py BUILD_FOLDER

Reads the objects of the library, and the Python module, with objdump. An object may use more (AVX, FMA, BMI, AVX-512)
only when its folder or name says so (``avx2``, ``avx512``); and such an object must not offer functions that the
linker could take in place of another object's (weak symbols of templates and inline functions, unless their names say
it too), or the whole program would need that processor. Exit status 1 and one line for each finding.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: Beyond x86-64-v2: everything in VEX or EVEX coding starts with v; then BMI1, BMI2, LZCNT, MOVBE and the mask moves.
#: tzcnt and rep bsf are one encoding: on old processors it is the other, and compilers emit it for both.
BEYOND = re.compile(
    r"^(v(?!err\b|erw\b|mcall\b|mlaunch\b)\w+|andn|bextr|blsi|blsmsk|blsr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx"
    r"|lzcnt|movbe|k(mov|or|and|xor|not|add|unpck|shift|test)\w*)[lqwb]?$"
)
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+([a-z]\w*)")


def made_for_more(path: Path) -> bool:
    """Whether an object is one of those that are called only after a look at the processor."""
    return re.search(r"avx2|avx512", str(path)) is not None


def beyond_v2(binary: Path) -> Iterator[tuple[str, str]]:
    """Function and instruction of the first one beyond x86-64-v2 in each function."""
    out = subprocess.run(
        ["objdump", "-d", "-C", "--no-show-raw-insn", str(binary)], capture_output=True, text=True, check=True
    ).stdout
    function, told = "?", False
    for line in out.splitlines():
        if found := FUNCTION.match(line):
            function, told = found[1], False
        elif not told and (found := INSTRUCTION.match(line)) and BEYOND.match(found[1]):
            told = True
            yield function, found[1]


def weak_functions(binary: Path) -> list[str]:
    """Names of the functions that the linker may merge with those of other objects."""
    out = subprocess.run(["nm", "-C", "--defined-only", str(binary)], capture_output=True, text=True, check=True).stdout
    names = [line.split(maxsplit=2)[2] for line in out.splitlines() if " W " in line]
    return [name for name in names if not re.search("avx2|avx512", name)]  # its own namespace, or a type of it


def check(build: Path) -> tuple[int, list[str]]:
    """Number of objects looked at, and findings in words."""
    objects = sorted(p for p in build.rglob("*.o") if re.search(r"/sportcore\w*\.dir/", str(p)))
    objects += build.glob("_core*.so")  # its objects hold no instructions yet where the linker optimises
    findings = []
    for path in objects:
        name = path.relative_to(build)
        if made_for_more(name):
            findings += [f"{name}: offers {f}, which others may come to use" for f in weak_functions(path)]
        else:
            findings += [f"{name}: {f} uses {i}" for f, i in beyond_v2(path)]
    return len(objects), findings


def main() -> int:
    """Check one build folder."""
    number, findings = check(Path(sys.argv[1]))
    print("\n".join(findings) if findings else f"{number} objects keep to x86-64-v2, but for those made for more.")
    return 1 if findings or number == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
