"""Draw docs/media/filming.svg: where to put the cameras, and what each of them should see.

    python docs/media/filming.py

The athlete and the cameras are those of ``sportcore.synthetic``, projected by ``sportcore.reproject``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sportcore as sc
from sportcore.synthetic import athlete

INK, SOFT, GOOD, BAD, FIELD = "#222", "#888", "#1b7f4b", "#b3261e", "#eef3f7"
SCALE, CX, CY = 38.0, 250.0, 262.0  # px per metre, and the athlete's place in the plan
HALF_VIEW = np.radians(32)


def text(x: float, y: float, words: str, size: int = 13, colour: str = INK, anchor: str = "middle") -> str:
    """Words at a place."""
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{words}</text>'


def plan() -> list[str]:
    """From above: cameras on a ring, their fields of view, the path of the athlete."""
    out = [text(CX, 28, "From above", 16)]
    places = {"cam1": -140, "cam2": -45, "cam3": 40, "cam4": 130}
    xy = {
        n: (CX + 5.2 * SCALE * np.cos(np.radians(a)), CY + 5.2 * SCALE * np.sin(np.radians(a)))
        for n, a in places.items()
    }
    for x, y in xy.values():
        to = np.arctan2(CY - y, CX - x)
        ends = [(x + 8.4 * SCALE * np.cos(to + s), y + 8.4 * SCALE * np.sin(to + s)) for s in (-HALF_VIEW, HALF_VIEW)]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in [(x, y), *ends])
        out.append(f'<polygon points="{points}" fill="#4a90d9" fill-opacity="0.10" clip-path="url(#room)"/>')
    t = np.linspace(0, 2 * np.pi, 90)
    path = [(CX + 2.1 * SCALE * np.sin(s), CY + 1.5 * SCALE * np.sin(2 * s)) for s in t]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in path)
    out.append(f'<polyline points="{line}" fill="none" stroke="{GOOD}" stroke-width="3"/>')
    for k in (6, 28, 51, 73):
        (a, b), (c, d) = path[k], path[k + 1]
        turn = np.degrees(np.arctan2(d - b, c - a))
        out.append(
            f'<path d="M-7,-6 L7,0 L-7,6 Z" fill="{GOOD}" transform="translate({a:.1f} {b:.1f}) rotate({turn:.0f})"/>'
        )
    for name, (x, y) in xy.items():
        turn = np.degrees(np.arctan2(CY - y, CX - x))
        body = '<rect x="-16" y="-9" width="22" height="18" rx="3"/><path d="M6,-5 L15,-9 L15,9 L6,5 Z"/>'
        out.append(f'<g fill="{INK}" transform="translate({x:.1f} {y:.1f}) rotate({turn:.0f})">{body}</g>')
        out.append(text(x, y + (30 if y > CY else -20), name))
    (x1, y1), (x2, y2) = xy["cam2"], xy["cam3"]
    arc = f"M{x1 + 4:.0f},{y1 + 20:.0f} A {5 * SCALE:.0f} {5 * SCALE:.0f} 0 0 1 {x2 + 4:.0f},{y2 - 22:.0f}"
    out.append(f'<path d="{arc}" fill="none" stroke="{SOFT}" stroke-dasharray="4 4"/>')
    out.append(text(CX + 5.2 * SCALE + 2, CY - 6, "30 to 120", 12, SOFT, "start"))
    out.append(text(CX + 5.2 * SCALE + 2, CY + 9, "degrees", 12, SOFT, "start"))
    out.append(text(CX, CY + 2.1 * SCALE, "to and fro, turning,", 12, GOOD))
    out.append(text(CX, CY + 2.1 * SCALE + 15, "through the whole space", 12, GOOD))
    out.append(f'<path d="M40,500 h{2 * SCALE:.0f} m0,-5 v10 M40,495 v10" stroke="{SOFT}" fill="none"/>')
    out.append(text(40 + SCALE, 490, "2 m", 12, SOFT))
    return out


def stick(xy: np.ndarray, colour: str) -> str:
    """A body in the pixels of its frame."""
    bones = "".join(
        f'<line x1="{xy[a, 0]:.1f}" y1="{xy[a, 1]:.1f}" x2="{xy[b, 0]:.1f}" y2="{xy[b, 1]:.1f}"/>'
        for a, b in sc.H36M17.bone_indices
    )
    return f'<g stroke="{colour}" stroke-width="4" stroke-linecap="round">{bones}</g>'


def frame(x: float, y: float, width: float, camera: sc.Camera, X: np.ndarray, words: str, good: bool) -> list[str]:
    """What a camera sees: the athlete in the picture, with a caption."""
    w, h = camera.image_size
    height = width * h / w
    uv = sc.reproject(X[None], sc.Rig((camera,)))[0, 0] * (width / w)
    colour = GOOD if good else BAD
    mark = "\u2713" if good else "\u2717"
    name = f"c{x:.0f}{y:.0f}"
    return [
        f'<clipPath id="{name}"><rect x="0" y="0" width="{width:.0f}" height="{height:.0f}"/></clipPath>',
        f'<g transform="translate({x:.0f} {y:.0f})"><rect width="{width:.0f}" height="{height:.0f}" fill="{FIELD}" '
        f'stroke="{colour}" stroke-width="2"/><g clip-path="url(#{name})">{stick(uv, INK)}</g></g>',
        text(x + width / 2, y + height + 18, f"{mark} {words}", 13, colour),
    ]


def camera(distance: float, height: float, aim: float, focal: float, roll: float = 0.0) -> sc.Camera:
    """A camera that looks along +y at a person at the origin."""
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    z = np.array([0, distance, aim - height]) / np.hypot(distance, aim - height)
    right = np.array([1.0, 0, 0])
    R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.stack([right, np.cross(z, right), z])
    K = [[focal, 0, 640], [0, focal, 360], [0, 0, 1]]
    return sc.Camera("a", (1280, 720), K, (), "pinhole", R, -R @ np.array([0, -distance, height]))


def draw() -> str:
    """The whole picture."""
    X = athlete(60, 25.0, 3, "walk")[40]
    a = np.radians(35)
    X = (X - np.array([*X[0, :2], 0])) @ np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    out = plan()
    left = 562
    out.append(text(left + 190, 28, "In the picture", 16))
    out += frame(
        left, 46, 380, camera(5.0, 1.4, 0.95, 1000), X, "whole body, half the height of the picture or more", True
    )
    out += frame(left, 305, 180, camera(2.6, 1.4, 1.25, 1000), X, "feet cut off", False)
    out += frame(left + 200, 305, 180, camera(17.0, 1.4, 0.9, 1000), X, "too small", False)
    advice = ("Camera level, at chest height or a little above, on a tripod.", "It stays where it is, with one zoom,",
              "stabilisation off. Nobody else in the picture.")  # fmt: skip
    out += [text(left, 466 + 17 * i, line, 12, SOFT, "start") for i, line in enumerate(advice)]
    body = "\n".join(out)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 520" font-family="sans-serif" role="img" '
        'aria-label="Where to put the cameras and what each should see">\n'
        '<rect width="960" height="520" fill="white"/>\n'
        '<clipPath id="room"><rect x="20" y="42" width="490" height="440"/></clipPath>\n'
        f"{body}\n</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("filming.svg").write_text(draw(), encoding="utf-8")
