"""Several people who cross: association and calibration on synthetic scenes; prints the tables of docs/people.md.

    python bench/bench_people.py [--seeds 5] [--quick]
    python bench/bench_people.py --demo [FOLDER] [--model blazepose-heavy]    # Pose2Sim's multi-person recording
    python bench/bench_people.py --minutes 4 [--people 3] [--seeds 7]         # long takes: do identities last?
    python bench/bench_people.py --late [--seeds 3]                           # cameras that do not begin together

Two to four athletes on concentric laps in both directions, one or two bystanders, 300 frames at 25 fps, 2 px noise
(correlated over time), 5 % outliers, 10 % missing joints, joints and people hidden behind others, tracks broken (30 %)
and identities exchanged (50 %) where people meet in an image.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

import sportcore as sc
from sportcore.people import (
    PeopleAssociation,
    PeopleDetections,
    PeopleOptions,
    PeopleTracks,
    associate_people,
    detect_people,
    track_people,
)
from sportcore.synthetic import ring_cameras
from sportcore.synthetic.crowd import Crowd, CrowdTracks, crowd, mixed_tracks
from sportcore.synthetic.scene import project_truth

FPS, FRAMES = 25.0, 300


def scene(people: int, cameras: int, seed: int) -> tuple[Crowd, sc.Rig, CrowdTracks]:
    """A crowd with 1 (even seeds) or 2 bystanders, the first seen by one camera only."""
    s = crowd(people, FRAMES, FPS, seed, bystanders=1 + seed % 2)
    rig = ring_cameras(cameras, seed)
    inside = []
    for camera in rig:
        uv, depth = project_truth(s.bystanders_m[0, 0], camera)
        w, h = camera.image_size
        inside.append(((uv > 0) & (uv < [w, h])).all(-1).sum() * (depth.min() > 0))
    only: list[Sequence[int] | None] = [[int(np.argmax(inside))]] + [None] * (len(s.bystanders_m) - 1)
    return s, rig, mixed_tracks(s, rig, seed, bystander_cameras=only)


def identity_shares(truth: Sequence[Sequence[np.ndarray]], a: PeopleAssociation, people: int) -> dict[str, float]:
    """Right, wrong and missed person-camera-frames, of those in which two cameras or more show the athlete."""
    C, T = a.track.shape[1:]
    visible = np.zeros((people, C, T), bool)
    given = np.full((a.n_people, C, T), -1)
    for c in range(C):
        who = np.stack(truth[c])
        for p in range(people):
            visible[p, c] = (who == p).any(0)
        k = a.track[:, c]
        given[:, c] = np.where(k >= 0, who[np.maximum(k, 0), np.arange(T)], -1)
    shared = visible & (visible.sum(1) >= 2)[:, None]
    table = np.array([[((given[i] == p) & shared[p]).sum() for p in range(people)] for i in range(a.n_people)])
    i, p = linear_sum_assignment(-table)
    right = int(table[i, p].sum())
    total = int(shared.sum())
    taken = sum(int(((given == q).any(0) & shared[q]).sum()) for q in range(people))
    return {
        "right": right / total, "wrong": (taken - right) / total, "missed": 1 - taken / total,
        "bystanders": float((given >= people).sum() / total),
    }  # fmt: skip


def camera_errors(rig: sc.Rig, true: sc.Rig) -> tuple[float, float]:
    """Worst relative rotation (degrees), and RMS of the camera centres after a similarity, % of their mean radius."""
    worst = 0.0
    for i in range(len(rig)):
        for j in range(i):
            d = rig.R[i] @ rig.R[j].T @ (true.R[i] @ true.R[j].T).T
            axis = np.array([d[2, 1] - d[1, 2], d[0, 2] - d[2, 0], d[1, 0] - d[0, 1]]) / 2
            worst = max(worst, float(np.degrees(np.arctan2(np.linalg.norm(axis), (np.trace(d) - 1) / 2))))
    if len(rig) < 3:
        return worst, float("nan")
    A, B = rig.centers_world, true.centers_world
    a, b = A - A.mean(0), B - B.mean(0)
    U, S, Vt = np.linalg.svd(b.T @ a)
    D = np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))])
    moved = np.trace(np.diag(S) @ D) / (a**2).sum() * a @ (U @ D @ Vt).T
    return worst, float(100 * np.sqrt(((moved - b) ** 2).sum(1).mean()) / np.linalg.norm(b, axis=1).mean())


def alone(m: CrowdTracks, rig: sc.Rig, person: int) -> sc.Calibration:
    """The calibration of one athlete whose observations were sorted out by the truth."""
    C = len(rig)
    xy, score = np.full((C, FRAMES, 17, 2), np.nan), np.zeros((C, FRAMES, 17))
    for c in range(C):
        for x, s, who in zip(m.xy[c], m.score[c], m.truth[c], strict=True):
            xy[c, who == person], score[c, who == person] = x[who == person], s[who == person]
    return sc.calibrate(sc.Keypoints2D(xy, score, "h36m17", fps=FPS, names=rig.names), rig)


def detected(m: CrowdTracks, cameras: int, seed: int) -> tuple[list, list, list]:
    """Tracks of track_people from unordered detections, and who they are."""
    xys, scores, truths = [], [], []
    for c in range(cameras):
        x, s = track_people(m.frames(c, seed))
        where = {}
        for k, who in enumerate(m.truth[c]):
            for t in np.flatnonzero(who >= 0):
                where[int(t), np.nansum(m.xy[c][k][t])] = int(who[t])
        truth = []
        for one in x:
            seen = np.isfinite(one[..., 0]).any(1)
            truth.append(
                np.array([where.get((t, np.nansum(one[t])), -1) if seen[t] else -1 for t in range(FRAMES)], np.int64)
            )
        xys.append(x)
        scores.append(s)
        truths.append(truth)
    return xys, scores, truths


def run(people: int, cameras: int, seed: int, own_tracker: bool = False) -> dict[str, float]:
    s, rig, m = scene(people, cameras, seed)
    xy, score, truth = detected(m, cameras, seed) if own_tracker else (m.xy, m.score, m.truth)
    tracks = PeopleTracks(xy, score, "h36m17", rig.names, FPS, np.array([c.image_size for c in rig]))
    start = time.process_time()
    a = associate_people(tracks, rig, PeopleOptions())
    seconds = time.process_time() - start
    out = identity_shares(truth, a, people)
    out["rot"], out["centre"] = camera_errors(a.rig, rig)
    out["extra"] = a.n_people - people
    out["exchanges"], out["tracks"] = m.exchanges, sum(map(len, xy))
    out["seconds"] = seconds
    single = [camera_errors(alone(m, rig, p).rig, rig) for p in range(people)]
    out["rot1"], out["centre1"] = (float(v) for v in np.median(single, axis=0))
    return out


def long_takes(minutes: float, people: int, seeds: int) -> None:
    """Takes of some minutes, four cameras, a bystander: how long does everybody keep their number?"""
    frames = round(60 * minutes * FPS)
    print("| seed | tracks, exchanges | right % | wrong % | missed % | rotation ° | centres % | undone | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in range(seeds):
        s, rig = crowd(people, frames, FPS, seed, bystanders=1), ring_cameras(4, seed)
        m = mixed_tracks(s, rig, seed)
        tracks = PeopleTracks(m.xy, m.score, "h36m17", rig.names, FPS, np.array([c.image_size for c in rig]))
        start = time.process_time()
        a = associate_people(tracks, rig, PeopleOptions())
        seconds = time.process_time() - start
        v, (rotation, centre) = identity_shares(m.truth, a, people), camera_errors(a.rig, rig)
        print(
            f"| {seed} | {sum(map(len, m.xy))}, {m.exchanges} | {100 * v['right']:.2f} | {100 * v['wrong']:.3f} "
            f"| {100 * v['missed']:.2f} | {rotation:.3f} | {centre:.3f} | {a.info.get('exchanges_undone', 0)} "
            f"| {seconds:.0f} |", flush=True,
        )  # fmt: skip


def late_cameras(seeds: int) -> None:
    """Twelve seconds, four cameras that begin up to two seconds apart: is the lateness found?"""
    from sportcore.people.lateness import people_lateness

    print("| people | seed | true, frames | found | CPU s |\n|---|---|---|---|---|")
    for people in (2, 3, 4):
        for seed in range(seeds):
            s, rig = crowd(people, FRAMES + 100, FPS, seed, bystanders=1), ring_cameras(4, seed)
            m = mixed_tracks(s, rig, seed)
            late = np.array([0, *np.random.default_rng(seed).integers(-50, 51, 3)])
            made = [track_people(m.frames(c)[50 + late[c] : 50 + late[c] + FRAMES]) for c in range(4)]
            tracks = PeopleTracks(
                [x for x, _ in made], [w for _, w in made], "h36m17", rig.names, FPS,
                np.array([c.image_size for c in rig]),
            )  # fmt: skip
            start = time.process_time()
            found = [r.frames for r in people_lateness(tracks, rig)]
            seconds = time.process_time() - start
            said = ", ".join("?" if f is None else str(f) for f in found[1:])
            print(f"| {people} | {seed} | {', '.join(map(str, late[1:]))} | {said} | {seconds:.0f} |", flush=True)


def demo(folder: Path, model: str) -> None:
    """The real recording: everybody is detected, tracked, associated; cameras against the reference."""
    names = tuple(f"cam{i:02d}" for i in range(1, 5))
    lenses = next(p for p in (folder / "Calib.qca.txt", folder / "calibration" / "Calib.qca.txt") if p.exists())
    reference = sc.read_rig(lenses)
    xys, scores, sizes, fps = [], [], [], 30.0
    for name in names:
        video = next(p for p in (folder / f"{name}.mp4", folder / "videos" / f"{name}.mp4") if p.exists())
        cache = Path(f"people-{model}-{name}.npz")
        if not cache.exists():
            start = time.process_time()
            detect_people(video, model, stride=2, num_threads=1).save(cache)
            print(f"{name}: {time.process_time() - start:.0f} s of detection")
        found = PeopleDetections.load(cache)
        xy, score = track_people(found.frames())
        lengths = sorted((int((s > 0).any(1).sum()) for s in score), reverse=True)
        print(f"{name}: {len(found.frame)} detections in {found.n_frames} frames, tracks of {lengths} frames")
        xys.append(xy)
        scores.append(score)
        sizes.append(found.image_size)
        fps = found.fps
    tracks = PeopleTracks(xys, scores, "blazepose33", names, fps, np.array(sizes))
    for what, options in (("moving people", PeopleOptions()), ("everybody", PeopleOptions(still_m=0.0))):
        start = time.process_time()
        a = associate_people(tracks, reference.subset(names), options)
        seconds = time.process_time() - start
        assert a.calibration is not None
        gaps = []
        for i in range(4):
            for j in range(i):
                d = a.rig.R[i] @ a.rig.R[j].T @ (reference.R[i] @ reference.R[j].T).T
                gaps.append(float(np.degrees(np.arccos(np.clip((np.trace(d) - 1) / 2, -1, 1)))))
        left = f"{a.info['left_out']} left out, explained {a.info['explained']}"
        print(f"{what}: {a.n_people} kept, {left}, {seconds:.1f} s")
        for p in range(a.n_people):
            print(f"  person {p}: frames per camera {(a.track[p] >= 0).sum(1).tolist()}")
        print(f"  relative rotation against the reference: median {np.median(gaps):.2f}, worst {max(gaps):.2f} degrees")
        print(f"  camera centres after a similarity: {camera_errors(a.rig, reference)[1]:.1f} % of their mean radius")
        report = a.calibration.report
        rms, rejected = report.per_camera_rms_px.round(1), report.rejected_share.round(2)
        print(f"  residual {rms} px, rejected {rejected}, {report.grade}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one small scene")
    parser.add_argument("--demo", nargs="?", const="", help="the real recording; folder, or the one in the cache")
    parser.add_argument("--model", default="blazepose-heavy")
    parser.add_argument("--minutes", type=float, help="long takes")
    parser.add_argument("--people", type=int, default=3, help="in long takes")
    parser.add_argument("--late", action="store_true", help="cameras that do not begin together")
    parser.add_argument("--output", type=Path, help="write the table here too")
    given = parser.parse_args(arguments)
    if given.minutes:
        long_takes(given.minutes, given.people, given.seeds)
        return 0
    if given.late:
        late_cameras(given.seeds)
        return 0
    if given.demo is not None:
        from sportcore.datasets import pose2sim_demo

        demo(Path(given.demo) if given.demo else pose2sim_demo.ensure_multi_person(), given.model)
        return 0
    cases = [
        (people, cameras, own)
        for cameras, own in ((4, False), (2, False), (4, True), (8, False))
        for people in (2, 3, 4)
    ]
    if given.quick:
        cases = [(2, 4, False)]
    lines = [
        "| tracks | people | cameras | tracks, exchanges | right (worst) % | wrong (worst) % | missed % | too many "
        "| rotation ° | centres % | one person: rotation ° | centres % | CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for people, cameras, own in cases:
        rows = []
        for seed in range(given.seeds):
            try:
                rows.append(run(people, cameras, seed, own))
            except sc.SportcoreError as error:
                print(f"{people} people, {cameras} cameras, seed {seed}: {error}", file=sys.stderr)
        if not rows:
            continue
        v = {k: np.array([r[k] for r in rows]) for k in rows[0]}
        failed = f" ({given.seeds - len(rows)} failed)" if len(rows) < given.seeds else ""
        lines.append(
            f"| {'track_people' if own else 'mixed'}{failed} | {people} | {cameras} | {np.median(v['tracks']):.0f}, "
            f"{np.median(v['exchanges']):.0f} | {100 * v['right'].mean():.2f} ({100 * v['right'].min():.2f}) "
            f"| {100 * v['wrong'].mean():.2f} ({100 * v['wrong'].max():.2f}) | {100 * v['missed'].mean():.2f} "
            f"| {int(v['extra'].clip(0).sum())} of {len(rows)} | {np.median(v['rot']):.3f} ({v['rot'].max():.3f}) "
            f"| {np.median(v['centre']):.2f} | {np.median(v['rot1']):.3f} ({v['rot1'].max():.3f}) "
            f"| {np.median(v['centre1']):.2f} | {np.median(v['seconds']):.1f} |"
        )
        print(lines[-1], flush=True)
        if given.output:
            given.output.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
