"""The harness of the comparison with other tools; none of them is needed."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from peers import charts, environment, measure, process, scenes, tables
from peers.adapters.start import dlt
from peers.methods import METHODS, Method, choose

FAKE = """
import json, sys, time
import numpy as np
adapter, setting, source, target, limit = sys.argv[1:]
if setting == "hang":
    time.sleep(60)
if setting == "die":
    sys.exit("no such luck")
say = {"status": "ok", "seconds": 0.5, "cpu_s": 0.4, "version": "1"}
np.savez(target, R=np.eye(3)[None], t=np.zeros((1, 3)), say=json.dumps(say))
"""


@pytest.fixture
def job(tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text(FAKE)
    source = scenes.save_input(tmp_path / "in.npz", {"xy": np.arange(3.0)})

    def run(setting, limit_s=20.0):
        output = tmp_path / "out" / f"{setting}.npz"
        made = process.Job(Method("fake", "fake", "fake", setting), "scene", source)
        python = environment.python_of(tmp_path) if setting == "absent" else Path(sys.executable)
        return made, output, process.solve(made, python, output, limit_s, worker)

    return run


def test_result_comes_back_and_is_remembered_for_the_same_input_only(job):
    made, output, found = job("fine")
    assert found["status"] == "ok" and found["R"].shape == (1, 3, 3) and found["cpu_s"] == 0.4
    process.remember(made, output, found)
    again = process.remembered(made, output)
    assert again is not None and again["seconds"] == 0.5 and np.array_equal(again["R"], found["R"])
    scenes.save_input(made.source, {"xy": np.arange(3.0) + 1})
    assert process.remembered(made, output) is None


def test_a_hang_is_killed_and_counted(job):
    begin = time.perf_counter()
    _, output, found = job("hang", limit_s=0.1)
    assert found["status"] == "too slow" and time.perf_counter() - begin < 15
    assert not output.is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="the kernel limits processor time on POSIX only")
def test_processor_time_is_limited(tmp_path):
    source = scenes.save_input(tmp_path / "in.npz", {"x": np.zeros(1)})
    (tmp_path / "worker.py").write_text(
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True:\n    pass\n"
    )
    made = process.Job(Method("fake", "fake", "fake"), "scene", source)
    found = process.solve(made, Path(sys.executable), tmp_path / "out.npz", 60.0, tmp_path / "worker.py")
    assert found["status"] == "too slow" and "processor" in found["message"]


def test_a_crash_tells_the_last_words(job):
    _, _, found = job("die")
    assert found["status"] == "crashed" and "no such luck" in found["message"]


def test_an_interrupted_run_starts_no_more_jobs(tmp_path):
    started = []

    def run(job):
        started.append(job.name)
        raise KeyboardInterrupt

    jobs = [process.Job(Method("fake", "fake", "fake"), str(i), tmp_path / "in.npz") for i in range(50)]
    with pytest.raises(KeyboardInterrupt):
        process.solve_all(jobs, run, 1, lambda text: None)
    assert len(started) < 50


def test_cuda_is_noticed_before_it_is_installed():
    report = "Collecting x\nWould install jax-0.10.2 nvidia-cublas-13.1 torch-2.13.0 numpy-2.4.6\n"
    assert environment.unwanted(report) == ["nvidia-cublas-13.1", "torch-2.13.0"]
    assert environment.unwanted("Would install jax-0.10.2 numpy-2.4.6") == []
    pins = [line for line in environment.PINS.read_text().splitlines() if line and not line.startswith("#")]
    assert pins and all("==" in line for line in pins)


def test_scene_is_the_same_every_time_and_hides_the_truth():
    scene = scenes.Scene("x", "x", frames=40)
    given, truth = scenes.simulate(scene, 3)
    again, _ = scenes.simulate(scene, 3)
    assert all(np.array_equal(given[k], again[k], equal_nan=given[k].dtype.kind == "f") for k in given)
    assert not set(given) & {"R", "t", "X"}
    centre = -np.einsum("cji,cj->ci", truth["R"], truth["t"])
    start = -np.einsum("cji,cj->ci", given["start_R"], given["start_t"])
    assert np.allclose(np.linalg.norm(centre - start, axis=1), scenes.START_M)
    turn = np.einsum("cij,ckj->cik", given["start_R"], truth["R"])
    angle = np.degrees(np.arccos((np.trace(turn, axis1=1, axis2=2) - 1) / 2))
    assert np.allclose(angle, scenes.START_DEG)


def test_true_cameras_measure_as_true_and_wrong_ones_do_not():
    scene = scenes.Scene("x", "x", frames=60, outliers=0.0, missing=0.0)
    given, truth = scenes.simulate(scene, 0)
    whole = truth | {"xy": given["xy"], "score": given["score"]}
    # another gauge: turned, moved, in millimetres
    turn = scenes._rotation(np.array([1.0, 2.0, 3.0]), 1.0)
    R = truth["R"] @ turn
    t = 1000 * (truth["t"] + truth["R"] @ np.array([1.0, -2.0, 0.5]))
    errors = measure.against_truth(R, t, truth["R"], truth["t"])
    assert errors["rot_max_deg"] < 1e-5 and errors["centre_pct"] < 1e-6
    good = measure.without_truth(R, t, given, whole)
    for how in ("robust", "dlt"):
        assert 1.0 < good[how]["all"]["median_px"] < 3.0  # noise of 2 px per coordinate
        assert good[how]["held_out"]["capped_mean_px"] < 4.0
        assert good[how]["bones"]["robust_pct"] < 8.0
    bad = measure.without_truth(given["start_R"], given["start_t"], given, whole)
    assert bad["dlt"]["all"]["median_px"] > 3 * good["dlt"]["all"]["median_px"]
    # failing to triangulate does not pay: the robust points are fewer, the observations all count
    assert bad["robust"]["all"]["capped_mean_px"] > 5 * good["robust"]["all"]["capped_mean_px"]


def test_linear_points_need_two_views():
    given, truth = scenes.simulate(scenes.Scene("x", "x", frames=5, outliers=0.0, missing=0.0), 1)
    xy = given["xy"].reshape(4, -1, 2).copy()
    xy[1:, 0] = np.nan
    X = dlt(xy, given["K"], truth["R"], truth["t"])
    assert np.isnan(X[0]).all()
    assert np.nanmedian(np.linalg.norm(X - truth["X"].reshape(-1, 3), axis=1)) < 0.05


def test_missing_points_count_at_the_cap():
    residual = np.array([1.0, np.nan, 500.0, 3.0]).reshape(1, 1, 4)
    found = measure.robust_px(residual, np.array([True, True, True, False]).reshape(1, 1, 4))
    assert found["capped_mean_px"] == pytest.approx((1 + 2 * measure.CAP_PX) / 3)
    assert found["median_px"] == measure.CAP_PX


def _run(method, where, rot, kind="scene", status="ok", cpu=1.0):
    good = {"rot_median_deg": rot, "rot_max_deg": 2 * rot, "centre_pct": rot, "seconds": cpu, "cpu_s": cpu}
    return {"method": method, "where": where, "kind": kind, "seed": 0, "status": status, "load": 1.0} | (
        good if status == "ok" else {"message": "no"}
    )


def test_tables_mark_the_best_count_failures_and_admit_losses():
    runs = [
        _run("sportcore", "usual", 0.05), _run("sportcore", "usual", 0.07), _run("caliscope", "usual", 0.04, cpu=9.0),
        _run("caliscope", "usual", 0.04, cpu=9.0), _run("humancalib", "usual", 0.01),
        _run("humancalib", "usual", 0.0, status="too slow"), _run("pycolmap", "usual", 0.001),
        _run("sportcore", "clean", 0.02), _run("caliscope", "clean", 40.0),
    ]  # fmt: skip
    text = tables.scene_tables(runs)
    assert "**0.040 (0.080)**" in text  # the best that always succeeded, though others look better
    assert "0.010 (0.020); too slow 1/2" in text
    assert "over 10° 1/1" in text
    assert "**0.0010" not in text and "*pycolmap, Cauchy 6 px (from the truth)*" in text
    lost = tables.losses(runs)
    assert len(lost) == 1 and "caliscope 0.040° against our 0.060°" in lost[0] and "9.0 times" in lost[0]


def test_page_is_written_between_markers_only(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- peers:begin -->\nold\n<!-- peers:end -->\nafter\n")
    tables.write_between(page, "peers", "new")
    assert page.read_text() == "before\n<!-- peers:begin -->\n\nnew\n\n<!-- peers:end -->\nafter\n"
    with pytest.raises(tables.PageBroken, match="cost:begin"):
        tables.write_between(page, "cost", "new")


def test_numbers_are_short():
    assert [tables.number(v) for v in (0.04213, 1.27, 12.4, 250.0, float("nan"), None, 0.0)] == [
        "0.042", "1.3", "12", "250", "–", "–", "0",
    ]  # fmt: skip


def test_methods_are_chosen_by_name():
    assert {m.key for m in choose("caliscope, sportcore", True)} == {"caliscope", "sportcore"}
    assert all(m.setting != "lee2022" for m in choose(None, False))
    assert len({m.key for m in METHODS}) == len(METHODS)
    with pytest.raises(ValueError, match="no method nobody; there are sportcore"):
        choose("nobody", True)


def test_charts_are_whole_svg_files(tmp_path):
    import xml.etree.ElementTree as ET

    charts.cost_chart({2: [(20, 0.1), (36000, 2.0)], 8: [(20, 0.4), (36000, 5.0)]}, 3.0, tmp_path / "cost.svg")
    places = [("ours <us>", 0.1, 0.05, "c0"), ("theirs", 10.0, 0.4, "c1"), ("floor", 9.0, 0.39, "c7")]
    charts.accuracy_chart(places, "t", tmp_path / "peers.svg")
    for name in ("cost.svg", "peers.svg"):
        root = ET.parse(tmp_path / name).getroot()
        assert (
            root.tag == "{http://www.w3.org/2000/svg}svg" and root.find("{http://www.w3.org/2000/svg}style") is not None
        )
    assert "8 cameras" in (tmp_path / "cost.svg").read_text()


def test_stored_results_are_plain_json():
    from peers.run import _rounded

    text = json.dumps(_rounded({"a": [float("nan"), 1 / 3], "b": {"c": np.float64(2.0)}}), allow_nan=False)
    assert json.loads(text) == {"a": [None, 0.3333], "b": {"c": 2.0}}
    assert os.path.basename(str(process.WORKER)) == "worker.py" and process.WORKER.is_file()
