"""Ways to spoil observations and the set of cameras. Each takes a case and a generator and returns the case."""

from __future__ import annotations

import numpy as np
from fuzz_case import base, fault, project, some

import sportcore as sc

# ---- values ----------------------------------------------------------------------------------------------------------


@fault
def nothing(case, rng):
    return case


@fault
def nan_joints(case, rng):
    case.xy[some(rng, case.xy.shape[:3])] = np.nan
    return case


@fault
def nan_in_one_coordinate(case, rng):
    case.xy[some(rng, case.xy.shape)] = np.nan
    return case


@fault
def infinite(case, rng):
    case.xy[some(rng, case.xy.shape)] = rng.choice([np.inf, -np.inf])
    return case


@fault
def huge_coordinates(case, rng):
    case.xy[some(rng, case.xy.shape)] = rng.choice([1e30, -1e30, 1e8, 1e300, 1e154, -1e5])
    return case


@fault
def everything_far_away(case, rng):
    case.xy = case.xy + rng.choice([1e6, 1e12, 1e30])
    case.truth = None
    return case


@fault
def denormal_coordinates(case, rng):
    case.xy[some(rng, case.xy.shape)] = 5e-324
    return case


@fault
def all_at_one_pixel(case, rng):
    case.xy[:] = rng.uniform(0, 1000, 2)
    case.never_good = True
    return case


@fault
def integers(case, rng):
    case.xy = np.rint(np.clip(np.nan_to_num(case.xy, nan=-1), -1e6, 1e6)).astype(int)
    return case


@fault
def zero_scores(case, rng):
    case.score[some(rng, case.score.shape)] = 0.0
    return case


@fault
def tiny_scores(case, rng):
    case.score[some(rng, case.score.shape)] = rng.choice([5e-324, 1e-310, 1e-30, 1e-9])
    case.options["min_score"] = 0.0
    return case


@fault
def negative_scores(case, rng):
    case.score[some(rng, case.score.shape, 0.1)] = rng.choice([-1.0, -1e-9, -np.inf])
    return case


@fault
def nan_scores(case, rng):
    case.score[some(rng, case.score.shape)] = np.nan
    return case


@fault
def scores_over_one(case, rng):
    case.score[some(rng, case.score.shape)] = rng.choice([1.0001, 100.0, np.inf])
    return case


@fault
def odd_sigmas(case, rng):
    sigma = np.exp(rng.normal(size=case.score.shape))
    sigma[some(rng, sigma.shape)] = rng.choice([0.0, -1.0, np.nan, np.inf, 1e-300, 1e300, 5e-324])
    case.keypoints["sigma_px"] = sigma
    return case


@fault
def odd_times(case, rng):
    times = np.tile(np.arange(case.score.shape[1]) / 50, (len(case.score), 1))
    times[some(rng, times.shape)] = rng.choice([np.nan, np.inf, -1.0, 1e300])
    case.keypoints["times"] = times
    case.keypoints["fps"] = rng.choice([50.0, 1e-9, 1e12])
    return case


# ---- shapes and kinds of array ---------------------------------------------------------------------------------------


@fault
def float32(case, rng):
    case.xy, case.score = case.xy.astype(np.float32), case.score.astype(np.float32)
    return case


@fault
def not_contiguous(case, rng):
    case.xy = np.asfortranarray(case.xy)
    case.score = np.repeat(case.score, 2, axis=1)[:, ::2]
    return case


@fault
def objects(case, rng):
    case.xy = case.xy.astype(object)
    if rng.random() < 0.5:
        case.xy[0, 0, 0, 0] = rng.choice(np.array(["a", None, [1, 2]], dtype=object))
    return case


@fault
def nested_lists(case, rng):
    if isinstance(case.xy, list):  # twice in one case
        return case
    case.xy = case.xy[:, :15].tolist()
    case.score = case.score[:, :15].tolist()
    if rng.random() < 0.3 and case.xy and case.xy[0]:
        case.xy[0][0] = case.xy[0][0][:-1]
    return case


@fault
def wrong_shapes(case, rng):
    which = int(rng.integers(6))
    xy, score = case.xy, case.score
    case.xy = [xy[..., :1], xy[..., 0], xy[:, :, :-1], xy, xy[0], np.moveaxis(xy, 0, 2)][which]
    case.score = [score, score, score[:, :, :-1], score[:, :-1], score[0], score][which]
    case.truth = None
    return case


@fault
def empty_axis(case, rng):
    axis = int(rng.integers(3))
    case.xy, case.score = np.take(case.xy, [], axis), np.take(case.score, [], axis)
    return case


@fault
def few_frames(case, rng):
    n = int(rng.choice([1, 2, 3, 9, 10, 11, 15]))
    case.xy, case.score = case.xy[:, :n], case.score[:, :n]
    return case


@fault
def few_joints(case, rng):
    keep = rng.permutation(17)[: int(rng.choice([1, 2, 3, 5]))]
    mask = np.ones(17, bool)
    mask[keep] = False
    case.score[:, :, mask] = 0.0
    return case


@fault
def other_skeleton(case, rng):
    case.keypoints["skeleton"] = rng.choice(["coco17", "blazepose33", "no such", "halpe26"])
    case.truth = None
    return case


# ---- cameras ---------------------------------------------------------------------------------------------------------


@fault
def one_camera(case, rng):
    case.xy, case.score, case.rig = case.xy[:1], case.score[:1], case.rig.subset(case.rig.names[:1])
    case.truth = None
    return case


@fault
def many_cameras(case, rng):
    n = int(rng.choice([12, 16]))
    return base(rng, n, 30)


@fault
def a_camera_too_few(case, rng):
    case.lenses = lambda: case.rig.subset(case.rig.names[:-1])
    return case


@fault
def other_names(case, rng):
    names = list(case.rig.names)
    k = int(rng.integers(1, len(names) + 1))
    case.keypoints["names"] = tuple(f"x{n}" if i < k else n for i, n in enumerate(names))
    return case


@fault
def the_same_camera_twice(case, rng):
    copy = case.rig[0].replace(name="copy")
    noise = rng.choice([0.0, 1.0]) * rng.normal(size=case.xy[:1].shape)
    case.xy = np.concatenate([case.xy, case.xy[:1] + noise])
    case.score = np.concatenate([case.score, case.score[:1]])
    case.rig = case.truth = sc.Rig((*case.rig, copy))
    return case


@fault
def all_cameras_the_same(case, rng):
    case.xy = np.repeat(case.xy[:1], len(case.xy), 0) + rng.choice([0.0, 1.0]) * rng.normal(size=case.xy.shape)
    case.score = np.repeat(case.score[:1], len(case.score), 0)
    case.never_good = True
    return case


@fault
def cameras_in_one_place(case, rng):
    """Cameras that only turn: there is no depth to be had."""
    centre = case.rig[0].center_world
    cameras = []
    for i, camera in enumerate(case.rig):
        a = 0.12 * i
        turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        R = turn @ case.rig[0].R
        cameras.append(camera.replace(R=R, t=-R @ centre))
    case.rig = case.truth = sc.Rig(tuple(cameras))
    case = project(case, case.points, rng, float(rng.choice([0.0, 0.5, 2.0])))
    case.never_good = True
    return case


@fault
def a_small_baseline(case, rng):
    """Cameras a few centimetres apart."""
    step = float(rng.choice([0.001, 0.02, 0.1]))
    first = case.rig[0]
    cameras = []
    for i, camera in enumerate(case.rig):
        centre = first.center_world + step * i * np.array([0.3, 0.9, 0.1])
        cameras.append(camera.replace(R=first.R, t=-first.R @ centre))
    case.rig = case.truth = sc.Rig(tuple(cameras))
    return project(case, case.points, rng, 2.0)


@fault
def opposite_cameras(case, rng):
    """Cameras that look at each other along one line."""
    cameras = []
    for i, camera in enumerate(case.rig):
        centre = np.array([(-1.0) ** i * (5.0 + i), 0.0, 1.5])
        z = -np.array([np.sign(centre[0]), 0.0, 0.0])
        x = np.cross(z, [0.0, 0, 1])
        R = np.stack([x, np.cross(z, x), z])
        cameras.append(camera.replace(R=R, t=-R @ centre))
    case.rig = case.truth = sc.Rig(tuple(cameras))
    return project(case, case.points, rng, 2.0)


@fault
def one_camera_blind(case, rng):
    case.score[int(rng.integers(len(case.score)))] = 0.0
    return case


@fault
def never_together(case, rng):
    T = case.score.shape[1]
    for c in range(len(case.score)):
        case.score[c, [t for t in range(T) if t % len(case.score) != c]] = 0
    return case


@fault
def one_camera_at_random(case, rng):
    c = int(rng.integers(len(case.xy)))
    case.xy[c] = rng.uniform(0, 1900, case.xy[c].shape)
    case.truth = None if len(case.xy) == 2 else case.truth
    case.never_good = len(case.xy) == 2
    return case


@fault
def all_cameras_at_random(case, rng):
    case.xy = rng.uniform(0, 1900, case.xy.shape)
    case.never_good = True
    return case


@fault
def one_camera_late(case, rng):
    c = int(rng.integers(len(case.xy)))
    case.xy[c] = np.roll(case.xy[c], int(rng.choice([1, 3, 15])), axis=0)
    return case


@fault
def one_camera_backwards(case, rng):
    case.xy[0], case.score[0] = case.xy[0, ::-1].copy(), case.score[0, ::-1].copy()
    return case


@fault
def one_camera_mirrored(case, rng):
    """A front camera of a phone: the video is mirrored."""
    c = int(rng.integers(len(case.xy)))
    case.xy[c, ..., 0] = case.rig[c].image_size[0] - 1 - case.xy[c, ..., 0]
    return case


@fault
def one_camera_sideways(case, rng):
    """A video whose rotation was ignored by the detector."""
    c = int(rng.integers(len(case.xy)))
    case.xy[c] = case.xy[c][..., ::-1].copy()
    return case


@fault
def joints_shuffled_in_one_camera(case, rng):
    c = int(rng.integers(len(case.xy)))
    order = rng.permutation(17)
    case.xy[c], case.score[c] = case.xy[c][:, order], case.score[c][:, order]
    case.truth = None if len(case.xy) == 2 else case.truth
    return case


@fault
def sides_swapped_for_good_in_one_camera(case, rng):
    c = int(rng.integers(len(case.xy)))
    flip = sc.H36M17.flip_permutation
    case.xy[c], case.score[c] = case.xy[c][:, flip], case.score[c][:, flip]
    return case


@fault
def many_outliers(case, rng):
    bad = some(rng, case.score.shape, rng.choice([0.2, 0.4, 0.6]))
    case.xy[bad] += rng.normal(size=(int(bad.sum()), 2)) * 200
    return case
