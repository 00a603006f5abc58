"""The HTML report: well formed, self-contained, truthful, safe, small, and complete when parts are missing."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_session import session

from sportcore.errors import InputError
from sportcore.report import ReportData, render_report, write_report
from sportcore.report.markup import esc, fmt, json_for_script
from sportcore.report.player import MAX_FRAMES, decode_int16, encode_int16, player_payload
from sportcore.report.svg import Chart, bucket, nice_ticks
from sportcore.skeletons import H36M17
from sportcore.types import Camera, Keypoints2D, Points3D, Rig

VOID = {"meta", "br", "img", "input", "link", "hr"}
SECTIONS = (
    "verdict", "motion", "pictures", "cameras", "residuals", "bones", "one-camera", "angles", "data", "provenance"
)  # fmt: skip


class Page(HTMLParser):
    """Checks that tags balance, and collects text, attributes and embedded JSON."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.problems: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.json: dict[str, Any] = {}
        self._json_id = ""
        self.feed(text)
        self.close()
        if self.stack:
            self.problems.append(f"left open: {self.stack}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            self.attributes.append((tag, key, value or ""))
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "script" and values.get("type") == "application/json":
            self._json_id = str(values["id"])
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, k, v or "") for k, v in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.problems.append(f"</{tag}> does not close what is open")

    def handle_data(self, data: str) -> None:
        if self._json_id:
            self.json[self._json_id] = json.loads(data, parse_constant=_refuse)
            self._json_id = ""
        elif not self.stack or self.stack[-1] not in ("script", "style"):
            self.text.append(data)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


@pytest.fixture(scope="module")
def data() -> ReportData:
    return session()


@pytest.fixture(scope="module")
def html(data: ReportData) -> str:
    return render_report(data)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_tags_balance_and_sections_are_there(page: Page) -> None:
    assert page.problems == []
    assert [s for s in SECTIONS if s not in page.ids] == []
    assert len(page.ids) == len(set(page.ids))
    assert "not computed" not in " ".join(page.text).lower().replace("not computed: no video frames were given", "")


def test_the_page_loads_nothing(html: str, page: Page) -> None:
    loading = [
        (t, k, v) for t, k, v in page.attributes if k in ("src", "href", "action", "data", "xlink:href", "srcset")
    ]
    assert loading
    for tag, key, value in loading:
        assert value.startswith(("#", "data:image/jpeg;base64,")), (tag, key, value[:60])
    code = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.S)
    assert "http://" not in code and "https://" not in code and "@import" not in code and "url(" not in code
    policy = next(v for t, k, v in page.attributes if t == "meta" and k == "content" and "default-src" in v)
    assert "default-src 'none'" in policy


def test_no_inline_handlers_or_javascript_links(page: Page) -> None:
    assert not [a for a in page.attributes if a[1].startswith("on") or a[2].lower().startswith("javascript:")]


def test_embedded_numbers_equal_the_input(data: ReportData, page: Page) -> None:
    numbers = page.json["sportcore-data"]
    used = np.isfinite(data.residual_px) & data.inlier
    for c, row in enumerate(numbers["cameras"]):
        expected = np.sqrt(np.mean(data.residual_px[c][used[c]] ** 2))
        assert row["rms_px"] == pytest.approx(expected, rel=1e-12)
        assert row["position_m"] == pytest.approx(-data.R[c].T @ data.t[c], rel=1e-12)
        assert row["rms_mrad"] == pytest.approx(expected / np.sqrt(data.K[c, 0, 0] * data.K[c, 1, 1]) * 1e3)
        finite = np.isfinite(data.residual_px[c])
        assert row["rejected_share"] == pytest.approx(1 - used[c].sum() / finite.sum())
    found = np.isfinite(data.points_world_m).all(-1).mean()
    assert numbers["coverage"]["share"] == pytest.approx(found, rel=1e-12)
    shown = next(n for n in numbers["numbers"] if n["title"] == "Joints found in 3D")
    assert shown["value"] == pytest.approx(found * 100)
    assert numbers["camera_names"] == list(data.camera_names)


def test_player_motion_equals_the_input_to_its_step(data: ReportData, page: Page) -> None:
    player = page.json["player-data"]
    assert player["frames"] == data.n_frames and player["stride"] == 1
    shape = data.points_world_m.shape
    back = decode_int16(player["xyz"], shape, player["step_m"], np.array(player["offset_m"]))
    assert np.array_equal(np.isnan(back), np.isnan(data.points_world_m))
    assert np.nanmax(np.abs(back - data.points_world_m)) <= player["step_m"] / 2 + 1e-12
    assert player["step_m"] <= 1e-3
    rays = decode_int16(player["rays"][2], (*shape[:2], 2), player["ray_step"])
    assert np.nanmax(np.abs(rays - data.rays[2])) <= player["ray_step"]


def test_ellipsoids_keep_the_covariance(data: ReportData, page: Page) -> None:
    player = page.json["player-data"]
    lower = decode_int16(player["chol"], (*data.points_world_m.shape[:2], 6), player["sigma_step_m"])
    t, j = np.argwhere(np.isfinite(data.covariance_m2[..., 0, 0]))[7]
    factor = np.zeros((3, 3))
    factor[[0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]] = lower[t, j]
    assert np.allclose(factor @ factor.T, data.covariance_m2[t, j], atol=4e-6)


def test_missing_joints_carry_their_reason(data: ReportData, page: Page) -> None:
    player = page.json["player-data"]
    codes = np.frombuffer(base64.b64decode(player["status"]), np.uint8).reshape(data.status.shape)
    assert np.array_equal(codes > 0, np.isnan(data.points_world_m).any(-1))
    assert set(codes[codes > 0].tolist()) == {1, 5}
    assert player["status_text"]["1"] == "too few views"


def test_offsets_between_cameras_are_shown(page: Page) -> None:
    words = " ".join(page.text)
    assert "late by ms" in words and "cam02: late by 2 ms" in words and "2.1" in page.text


def test_hostile_names_are_shown_not_run() -> None:
    evil = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    base = session(frames=20, cameras=2)
    names = (f"cam {evil}", "b\x00\x08\u2028&amp;")
    joints = (evil, *H36M17.joints[1:])
    calibration = {**base.calibration, "scale_source": evil, "warnings": [evil]}
    meta = {
        **base.meta,
        "title": evil,
        "athlete": evil,
        "options": {evil: evil},
        "hashes": {evil: evil},
        "command": evil,
    }
    hostile = base.replace(
        camera_names=names, joint_names=joints, keypoint_names=joints, calibration=calibration, meta=meta,
        warnings=({"message": evil, "remedy": evil, "severity": '"><b>'},),
        tracks={"cameras": [{"name": evil}], evil: evil},
        sync={evil: [{evil: evil}]}, timings_s={evil: 1.0}, images=((evil, b"\xff\xd8\xff\xd9"),),
    )  # fmt: skip
    text = render_report(hostile)
    found = Page(text)
    assert found.problems == []
    assert text.count("<script") == 4  # two JSON blocks, two scripts of our own
    assert "<img src=x" not in text
    assert not [a for a in found.attributes if a[1].startswith("on")]
    assert found.json["sportcore-data"]["meta"]["title"] == evil
    assert evil in "".join(found.text)


def test_nan_and_infinity_never_reach_the_json_or_the_charts() -> None:
    base = session(frames=30, cameras=3)
    residual = base.residual_px.copy()
    residual[0] = np.nan
    residual[1, :5] = np.inf
    broken = base.replace(
        residual_px=residual,
        calibration={"scale_sigma_rel": float("nan"), "scale_source": None, "center_sigma_m": None},
        lifting={"before": {"mpjpe_mm": None, "per_joint_mm": {"head": None}}, "after": {"mpjpe_mm": float("nan")}},
    )  # fmt: skip
    text = render_report(broken)
    assert Page(text).problems == []
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.S):
        assert not re.search(r'="[^"]*\b(nan|inf)\b', svg), svg[:300]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"camera_names": ("a", "b")},
        {"joint_names": H36M17.joints, "bones": H36M17.bone_indices, "points_world_m": np.full((0, 17, 3), np.nan)},
        {"joint_names": H36M17.joints, "bones": H36M17.bone_indices, "points_world_m": np.full((5, 17, 3), np.nan)},
        {"joint_names": ("a", "b"), "bones": np.array([[0, 1]]), "points_world_m": np.zeros((1, 2, 3))},
        {"camera_names": ("a",), "keypoint_names": ("x",), "keypoints_px": np.full((1, 4, 1, 2), np.nan)},
        {"lifting": {"before": {"pa_mpjpe_mm": 80.0}}},
        {"timings_s": {"detect": 3.0}, "warnings": ("plain words", InputError("What is wrong.", "What to do."))},
    ],
)
def test_whatever_is_missing_is_said(fields: dict[str, Any]) -> None:
    found = Page(render_report(ReportData(meta={}, **fields)))
    words = " ".join(found.text)
    assert found.problems == []
    assert [s for s in SECTIONS if s not in found.ids] == []
    assert "Not computed" in words


@pytest.mark.parametrize(
    "name",
    ["covariance_m2", "residual_px", "inlier", "n_views", "status", "score", "rays", "R", "K", "image_sizes", "fps",
     "heldout",
     "monocular_before_m", "keypoints_px", "bones"],
)  # fmt: skip
def test_any_single_array_may_be_absent(name: str) -> None:
    found = Page(render_report(session(frames=24, cameras=2).replace(**{name: None})))
    assert found.problems == []


def test_one_camera_gets_no_grade() -> None:
    base = session(frames=30, cameras=1, monocular=False)
    single = base.replace(
        R=None, t=None, residual_px=np.full((1, 30, 17), np.nan), calibration={}, calibrated_here=False
    )
    found = Page(render_report(single))
    grade = found.json["sportcore-data"]["grade"]
    assert grade["letter"] == "–"
    assert "One camera" in " ".join(found.text)
    player = found.json["player-data"]
    assert not player["floor_known"] and player["floor_m"] == pytest.approx(
        np.nanmin(base.points_world_m[..., 2]), abs=1e-6
    )


def test_size_of_an_ordinary_session(tmp_path: Path, data: ReportData) -> None:
    path = write_report(
        tmp_path / "r.html", data.replace(images=tuple((f"cam{i}", b"\xff\xd8" + bytes(99_000)) for i in range(4)))
    )
    assert path.stat().st_size < 2_000_000  # the requirement is 6 MB


def test_ten_thousand_frames(tmp_path: Path) -> None:
    base = session(frames=500)
    per_camera = ("keypoints_px", "score", "rays", "residual_px", "inlier", "monocular_before_m", "monocular_after_m")
    once = ("points_world_m", "covariance_m2", "n_views", "status", "heldout")
    again = {k: np.concatenate([getattr(base, k)] * 20, axis=1) for k in per_camera}
    again |= {k: np.concatenate([getattr(base, k)] * 20) for k in once}
    long = base.replace(**again)
    begin = time.process_time()
    path = write_report(tmp_path / "long.html", long)
    assert time.process_time() - begin < 20
    assert path.stat().st_size < 12_000_000
    found = Page(path.read_text("utf-8"))
    player = found.json["player-data"]
    assert player["frames"] <= MAX_FRAMES and player["total"] == 10_000
    assert f"one frame in {player['stride']} of" in " ".join(found.text)
    assert found.json["sportcore-data"]["frames"] == 10_000


def test_write_is_atomic_reports_progress_and_can_be_cancelled(tmp_path: Path, data: ReportData) -> None:
    calls: list[tuple[int, int, str]] = []
    path = write_report(tmp_path / "a.html", data, progress=lambda *a: calls.append(a))
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert calls[0][0] == 0 and calls[-1][0] == calls[-1][1] and [c[0] for c in calls] == sorted(c[0] for c in calls)

    def stop(done: int, total: int, message: str) -> None:
        raise KeyboardInterrupt

    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_report(path, data, progress=stop)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_bad_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ReportData"):
        write_report(tmp_path / "x.html", {"meta": {}})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not a folder"):
        write_report(tmp_path / "no" / "x.html", ReportData(meta={}))
    with pytest.raises(InputError, match="points_world_m"):
        ReportData(meta={}, joint_names=("a",), points_world_m=np.zeros((4, 2, 3)))
    with pytest.raises(InputError, match="bones"):
        ReportData(meta={}, joint_names=("a",), bones=np.array([[0, 1]]))
    with pytest.raises(InputError, match="mapping"):
        ReportData(meta=None)  # type: ignore[arg-type]


def test_same_input_same_page(data: ReportData, html: str) -> None:
    assert render_report(data) == html


# ---- from_results


def test_from_results_collects_the_types(data: ReportData) -> None:
    rig = Rig(
        tuple(
            Camera(name=n, image_size=tuple(s), K=k, R=r, t=t)
            for n, s, k, r, t in zip(data.camera_names, data.image_sizes, data.K, data.R, data.t, strict=True)
        )
    )
    keypoints = Keypoints2D(data.keypoints_px, data.score, "h36m17", fps=50.0, names=data.camera_names)
    points = Points3D(
        xyz=data.points_world_m, covariance=data.covariance_m2, residual_px=data.residual_px, inlier=data.inlier,
        n_views=data.n_views, status=data.status, skeleton="h36m17", fps=50.0,
    )  # fmt: skip
    pytest.importorskip("sportcore._core")
    made = ReportData.from_results(
        {"title": "x"}, keypoints=keypoints, rig=rig, points=points, calibration=dict(data.calibration),
        lifting={"before_m": data.monocular_before_m, "after_m": data.monocular_after_m, "heldout": data.heldout},
        timings_s={"detect": 1.0}, warnings=["w"],
    )  # fmt: skip
    assert made.camera_names == data.camera_names and made.n_frames == 100 and made.calibrated_here
    assert np.allclose(made.rays, data.rays, equal_nan=True, atol=1e-9)
    assert made.heldout is not None and made.monocular_before_m is not None and "before_m" not in made.lifting
    assert Page(render_report(made)).problems == []
    assert ReportData.from_results({}).n_frames == 0
    assert ReportData.from_results({}, keypoints=keypoints).camera_names == data.camera_names


# ---- small parts


def test_int16_round_trip_and_limits() -> None:
    values = np.array([[0.0, 1.23456, -9.9], [np.nan, np.inf, 50.0]])
    back = decode_int16(encode_int16(values, 1e-3, 0.5), (2, 3), 1e-3, 0.5)
    assert np.allclose(back[0], values[0], atol=5e-4)
    assert np.isnan(back[1, :2]).all() and back[1, 2] == pytest.approx(0.5 + 32.767)


def test_far_outlier_does_not_break_the_player(data: ReportData) -> None:
    points = data.points_world_m.copy()
    points[3, 5] = [900.0, 0.0, 0.0]
    payload = player_payload(data.replace(points_world_m=points))
    assert payload is not None and payload["step_m"] < 1e-3 and payload["high_m"][0] < 20
    assert np.isnan(decode_int16(payload["xyz"], points.shape, payload["step_m"])[3, 5]).all()
    assert np.frombuffer(base64.b64decode(payload["status"]), np.uint8).reshape(100, 17)[3, 5] == 254


def test_text_helpers() -> None:
    assert esc("<a & 'b' \"c\">\x01") == "&lt;a &amp; &#x27;b&#x27; &quot;c&quot;&gt;\ufffd"
    assert fmt(float("nan")) == "–" and fmt(None) == "–" and fmt("x") == "–"
    assert fmt(-0.004, 1) == "0.0" and fmt(-1.25, 1) == "\u22121.2" and fmt(12345.6, 0) == "12\u202f346"
    assert fmt(66, 0, "°") == "66°"
    assert "</script" not in json_for_script({"a": "</script>", "n": float("inf"), "p": Path("x"), "b": b"12"})
    assert json.loads(json_for_script({"a": "</script>\u2028", 1: np.float32(2)})) == {"a": "</script>\u2028", "1": 2.0}


def test_ticks_are_round_and_inside() -> None:
    for low, high in ((0, 1), (-3.2, 7.9), (1e-6, 3e-6), (0, 98765.0)):
        ticks, step = nice_ticks(low, high, 5)
        assert 2 <= len(ticks) <= 12 and low - 1e-9 * step <= ticks[0] and ticks[-1] <= high + 1e-9 * step
        assert f"{step:.0e}"[0] in "125"
    assert nice_ticks(2.0, 2.0) == ([2.0], 1.0)


def test_buckets_keep_extremes_and_gaps() -> None:
    values = np.sin(np.arange(10_000) / 50)
    values[5000] = 9.0
    values[2000:2100] = np.nan
    index, middle, low, high = bucket(values, 500)
    assert len(index) <= 500 and np.nanmax(high) == 9.0 and np.isnan(middle).any()
    assert np.all((low <= middle) | np.isnan(middle))
    same = bucket(values[:100], 500)
    assert np.array_equal(same[1], values[:100])


def test_lines_break_at_gaps() -> None:
    chart = Chart((0, 10), (0, 1))
    chart.line(np.arange(6), np.array([0, 1, np.nan, 0.5, np.nan, np.nan]), "c0")
    svg = chart.render()
    assert len(re.findall(r'd="M[^"]*L', svg)) >= 1 and svg.count("<circle") == 1


@pytest.mark.parametrize("name", ["player.js", "report.js"])
def test_scripts_are_valid_javascript(name: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    source = tmp_path / name
    source.write_text(files("sportcore.report").joinpath("assets", name).read_text("utf-8"), "utf-8")
    result = subprocess.run([node, "--check", str(source)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
