"""2D keypoint files: golden files, choice of a person, round trips, and damaged input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sportcore.errors import InputError
from sportcore.io import read_keypoints, save_npz, write_keypoints
from sportcore.skeletons import BODY25, COCO17, H36M17, HALPE26, SKELETONS, Skeleton
from sportcore.types import Keypoints2D

GOLDEN = Path(__file__).parent / "golden" / "keypoints"


def example(rng: np.random.Generator, C: int = 2, T: int = 4, skeleton: Skeleton = COCO17, **more: Any) -> Keypoints2D:
    xy = rng.uniform(1, 600, (C, T, skeleton.n_joints, 2))
    xy[rng.random(xy.shape[:3]) < 0.2] = np.nan
    score = rng.uniform(0.05, 1.0, xy.shape[:3])
    return Keypoints2D(xy, score, skeleton, names=tuple(f"cam{i}" for i in range(C)), **more)


def assert_same(a: Keypoints2D, b: Keypoints2D) -> None:
    np.testing.assert_array_equal(a.xy, b.xy)
    np.testing.assert_array_equal(a.score, b.score)
    assert a.skeleton.joints == b.skeleton.joints and a.names == b.names


# ---------------------------------------------------------------- OpenPose


def test_openpose_folder() -> None:
    with pytest.raises(InputError, match=r"camera 'cam2', frame 1: 2 people.*person="):
        read_keypoints(GOLDEN / "openpose")
    k = read_keypoints(GOLDEN / "openpose", person="largest", fps=60.0)
    assert k.skeleton == BODY25 and k.names == ("cam1", "cam2") and k.xy.shape == (2, 3, 25, 2) and k.fps == 60
    np.testing.assert_allclose(k.xy[0, 0, 3], [13.0, 106.0])  # 10 + 3, 100 + 2 * 3
    np.testing.assert_allclose(k.xy[1, 1, 24], [500 + 1 + 24, 148.0])
    assert np.isnan(k.xy[:, :, 7]).all() and (k.score[:, :, 7] == 0).all()  # 0, 0, 0 is missing
    assert np.isnan(k.xy[0, 2]).all()  # nobody in this frame
    assert k.score[0, 0, 0] == 0.8


def test_openpose_choice_of_person() -> None:
    assert read_keypoints(GOLDEN / "openpose", person="confident").xy[1, 1, 0, 0] == 5.0
    assert read_keypoints(GOLDEN / "openpose", person=1).xy[1, 1, 0, 0] == 501.0
    assert np.isnan(read_keypoints(GOLDEN / "openpose", person=1).xy[0, 0]).all()  # no second person there
    with pytest.raises(InputError, match="nearest"):
        read_keypoints(GOLDEN / "openpose", person="nearest")


def test_openpose_one_camera_folder_and_choice_of_cameras() -> None:
    k = read_keypoints(GOLDEN / "openpose" / "cam1_json")
    assert k.names == ("cam1",) and k.n_frames == 3
    assert read_keypoints(GOLDEN / "openpose", person=0, names=("cam2",)).names == ("cam2",)


def test_openpose_frames_missing_at_the_end(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "openpose", tmp_path / "o")
    (tmp_path / "o" / "cam2_json" / "cam2_000000000002_keypoints.json").unlink()
    with pytest.raises(InputError, match=r"different frames: cam1 0-2, cam2 0-1.*pad_frames"):
        read_keypoints(tmp_path / "o", person=0)
    k = read_keypoints(tmp_path / "o", person=0, pad_frames=True)
    assert k.n_frames == 3 and np.isnan(k.xy[1, 2]).all()


@pytest.mark.parametrize("count", [17, 18, 26, 33, 30])
def test_openpose_joint_counts(tmp_path: Path, count: int) -> None:
    triples = [1.0, 2.0, 0.5] * count
    (tmp_path / "f_1.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": triples}]}))
    if count in (17, 30):
        with pytest.raises(InputError, match=rf"joint order of {count} joints.*skeleton="):
            read_keypoints(tmp_path)
    else:
        assert read_keypoints(tmp_path).skeleton.name == {18: "openpose18", 26: "halpe26", 33: "blazepose33"}[count]
    if count == 17:
        assert read_keypoints(tmp_path, skeleton="h36m17").skeleton == H36M17
        with pytest.raises(InputError, match="17 joints, skeleton 'body25' has 25"):
            read_keypoints(tmp_path, skeleton="body25")


def test_openpose18_becomes_coco17_by_name(tmp_path: Path) -> None:
    triples = np.ones((18, 3))
    triples[:, 0] = np.arange(18) + 1
    (tmp_path / "f_1.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": triples.ravel().tolist()}]}))
    coco = read_keypoints(tmp_path).to_skeleton("coco17")
    assert coco.xy[0, 0, COCO17.index("left_knee"), 0] == 13  # index 12 of OpenPose's COCO model
    assert np.isfinite(coco.xy).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"people": [{"pose_keypoints_2d": [1, 2, 0.5, 1]}]}', "triples"),
        ('{"people": [{"pose_keypoints_2d": ["a"]}]}', "list of numbers"),
        ('{"people": [{}]}', "pose_keypoints_2d"),
        ('{"people": 3}', "'people'"),
        ('{"people": [{"pose_key', "truncated"),
        ('{"people": []}', "no person"),
        ("", "empty"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 7.0]}]}', "joint order of 1"),
    ],
)
def test_openpose_faults(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "f_1.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_keypoints(tmp_path, format="openpose")


def test_scores_out_of_range_and_nan(tmp_path: Path) -> None:
    (tmp_path / "f_1.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": [1, 2, 7.0] * 25}]}))
    with pytest.raises(InputError, match="scores reach 7"):
        read_keypoints(tmp_path)
    (tmp_path / "f_1.json").write_text('{"people": [{"pose_keypoints_2d": [' + ", ".join(["NaN"] * 75) + "]}]}")
    with pytest.raises(InputError, match="no person"):
        read_keypoints(tmp_path)


def test_wild_frame_numbers(tmp_path: Path) -> None:
    for n in (1, 10**9):
        (tmp_path / f"f_{n}.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": [1, 2, 0.5] * 25}]}))
    with pytest.raises(InputError, match="only a few frames"):
        read_keypoints(tmp_path)
    (tmp_path / "frame.json").write_text('{"people": []}')
    with pytest.raises(InputError, match="no frame number"):
        read_keypoints(tmp_path)


# ---------------------------------------------------------------- COCO, AlphaPose, MMPose


def test_coco() -> None:
    k = read_keypoints(GOLDEN / "coco.json")
    assert k.skeleton == COCO17 and k.names == ("cam1",) and k.n_frames == 2
    assert k.image_sizes is not None and k.image_sizes.tolist() == [[640, 480]]
    np.testing.assert_allclose(k.xy[0, 0, 16], [116, 232])
    assert np.isnan(k.xy[0, 0, 3]).all() and k.score[0, 0, 3] == 0 and k.score[0, 0, 1] == 1
    assert np.isnan(k.xy[0, 1]).all()


def test_coco_joint_names_decide(tmp_path: Path) -> None:
    data = json.loads((GOLDEN / "coco.json").read_text())
    names = data["categories"][0]["keypoints"]
    names[0], names[16] = names[16], names[0]
    (tmp_path / "a.json").write_text(json.dumps(data))
    k = read_keypoints(tmp_path / "a.json")
    assert k.skeleton.index("nose") == 16 and k.skeleton.name not in SKELETONS
    del data["categories"]
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert read_keypoints(tmp_path / "a.json").skeleton == COCO17


def test_coco_folders_of_one_name_stay_apart(tmp_path: Path) -> None:
    triples = [1.0, 2.0, 2.0] * 17
    images = [{"id": i, "file_name": f"s{i}/cam/0001.jpg"} for i in (1, 2)]
    data = {"images": images, "annotations": [{"image_id": i, "keypoints": triples} for i in (1, 2)]}
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert read_keypoints(tmp_path / "a.json").names == ("s1_cam", "s2_cam")


def test_openpose_person_without_body(tmp_path: Path) -> None:
    people = [{"pose_keypoints_2d": []}, {"pose_keypoints_2d": [1, 2, 0.5] * 25}]
    (tmp_path / "f_1.json").write_text(json.dumps({"people": people}))
    assert read_keypoints(tmp_path).xy[0, 0, 0].tolist() == [1, 2]


def test_coco_faults(tmp_path: Path) -> None:
    data = json.loads((GOLDEN / "coco.json").read_text())
    for change, message in (
        ({"annotations": [{"image_id": 99, "keypoints": [1, 1, 2] * 17}]}, "image 99"),
        ({"annotations": [{"image_id": 7}]}, "no keypoints"),
        ({"annotations": []}, "no annotation"),
        ({"images": None}, "'images'"),
    ):
        (tmp_path / "a.json").write_text(json.dumps({**data, **change}))
        with pytest.raises(InputError, match=message):
            read_keypoints(tmp_path / "a.json")


def test_alphapose() -> None:
    k = read_keypoints(GOLDEN / "alphapose.json", person=1)
    assert k.skeleton == HALPE26 and k.xy.shape == (1, 2, 26, 2)
    np.testing.assert_allclose(k.xy[0, 1, 25], [100 + 25 + 1, 75])
    np.testing.assert_allclose(k.score[0, 0, :3], [0.5, 0.51, 0.52])
    assert read_keypoints(GOLDEN / "alphapose.json", person="largest").xy[0, 0, 0, 0] == 400  # the larger one
    with pytest.raises(InputError, match="2 people"):
        read_keypoints(GOLDEN / "alphapose.json")


def test_alphapose_wide_score_range(tmp_path: Path) -> None:
    row = [{"image_id": f"{t}.jpg", "keypoints": [1.0, 2.0, 3.0] * 17} for t in range(2)]
    (tmp_path / "a.json").write_text(json.dumps(row))
    k = read_keypoints(tmp_path / "a.json")
    assert k.skeleton == COCO17 and (k.score == 0.5).all()


def test_alphapose_unknown_count(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"image_id": "0.jpg", "keypoints": [1.0, 2.0, 0.3] * 136}]))
    with pytest.raises(InputError, match=r"136 joints.*skeleton="):
        read_keypoints(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(InputError, match="no person"):
        read_keypoints(tmp_path / "a.json")


def test_one_file_per_camera(tmp_path: Path) -> None:
    for name in ("cam2", "cam10"):
        shutil.copy(GOLDEN / "alphapose.json", tmp_path / f"{name}.json")
    assert read_keypoints(tmp_path, person=2).names == ("cam2", "cam10")
    for name in ("a", "b"):
        (tmp_path / "s" / name).mkdir(parents=True)
        shutil.copy(GOLDEN / "alphapose.json", tmp_path / "s" / name / "alphapose-results.json")
    assert read_keypoints(tmp_path / "s", person=2).names == ("a", "b")


def test_mmpose(tmp_path: Path) -> None:
    k = read_keypoints(GOLDEN / "mmpose.json")
    assert k.skeleton == COCO17 and k.n_frames == 2
    np.testing.assert_allclose(k.xy[0, 1, 5], [16, 25])
    assert np.isnan(k.xy[0, :, 16]).all()
    data = json.loads((GOLDEN / "mmpose.json").read_text())
    data["meta_info"] = {}
    (tmp_path / "m.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="skeleton="):
        read_keypoints(tmp_path / "m.json")
    del data["instance_info"][0]["instances"][0]["keypoint_scores"]
    (tmp_path / "m.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="frame 1"):
        read_keypoints(tmp_path / "m.json", skeleton="coco17")


# ---------------------------------------------------------------- tables and arrays


def test_deeplabcut() -> None:
    path = GOLDEN / "camADLC_resnet50_run.csv"
    k = read_keypoints(path)
    assert k.names == ("camA",) and k.skeleton.joints == ("RHip", "RKnee") and k.n_frames == 2
    np.testing.assert_allclose(k.xy[0, 0], [[10.5, 20.5], [11.5, 30.5]])
    assert np.isnan(k.xy[0, 1, 1]).all() and k.score[0, 1, 1] == 0 and k.score[0, 1, 0] == 0.7
    renamed = read_keypoints(path, joint_names={"RHip": "right_hip", "RKnee": "right_knee"})
    assert renamed.skeleton.joints == ("right_hip", "right_knee")
    with pytest.raises(InputError, match="no joint nose"):
        read_keypoints(path, skeleton="coco17", joint_names={"RHip": "right_hip"})
    swapped = Skeleton("two", ("RKnee", "RHip"), (("RHip", "RKnee"),))
    np.testing.assert_allclose(read_keypoints(path, skeleton=swapped).xy[0, 0, 1], [10.5, 20.5])


def test_deeplabcut_labels_and_individuals(tmp_path: Path) -> None:
    (tmp_path / "CollectedData_me.csv").write_text(
        "scorer,,,me,me,me,me\nindividuals,,,a,a,b,b\nbodyparts,,,hip,hip,hip,hip\ncoords,,,x,y,x,y\n"
        "labeled-data,vid,img0004.png,1,2,3,4\nlabeled-data,vid,img0005.png,,,5,6\n"
    )
    k = read_keypoints(tmp_path / "CollectedData_me.csv", person=1)
    np.testing.assert_allclose(k.xy[0, :, 0], [[3, 4], [5, 6]])
    assert (k.score == 1).all()


def test_deeplabcut_faults(tmp_path: Path) -> None:
    text = (GOLDEN / "camADLC_resnet50_run.csv").read_text()
    for content, message in (
        (text[:-4], "columns"),
        (text.replace("bodyparts", "parts"), "DeepLabCut"),
        (text.replace("10.5", "ten"), "not a number"),
        ("", "empty"),
        ("\n".join(text.splitlines()[:3]), "no frame"),
    ):
        (tmp_path / "a.csv").write_text(content)
        with pytest.raises(InputError, match=message):
            read_keypoints(tmp_path / "a.csv")


def test_mediapipe_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    array = rng.uniform(0, 700, (2, 3, 543, 3))
    array[0, 1] = np.nan
    np.save(tmp_path / "m.npy", array)
    k = read_keypoints(tmp_path / "m.npy", names=("left", "right"))
    assert k.skeleton.name == "blazepose33" and k.names == ("left", "right")
    np.testing.assert_array_equal(k.xy, array[:, :, :33, :2])
    assert (k.score[0, 1] == 0).all() and (k.score[1] == 1).all()
    np.save(tmp_path / "m.npy", array[:, :, :20])
    with pytest.raises(InputError, match="20 joints"):
        read_keypoints(tmp_path / "m.npy")
    np.save(tmp_path / "m.npy", array[:, :, :33] / 700)
    with pytest.raises(InputError, match="normalised"):
        read_keypoints(tmp_path / "m.npy")
    k = read_keypoints(tmp_path / "m.npy", image_sizes=(640, 480))
    np.testing.assert_allclose(k.xy[1, 0, 0], array[1, 0, 0, :2] / 700 * [640, 480] - 0.5)
    (tmp_path / "m.npy").write_bytes((tmp_path / "m.npy").read_bytes()[:200])
    with pytest.raises(InputError, match="truncated"):
        read_keypoints(tmp_path / "m.npy")


def test_sleap(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    tracks = np.random.default_rng(0).uniform(0, 9, (1, 2, 3, 4))
    tracks[0, :, 1, 2] = np.nan
    with h5py.File(tmp_path / "cam1.analysis.h5", "w") as file:
        file["tracks"], file["node_names"] = tracks, np.array([b"a", b"b", b"c"])
    k = read_keypoints(tmp_path / "cam1.analysis.h5")
    np.testing.assert_array_equal(k.xy[0], tracks[0].transpose(2, 1, 0))
    assert k.skeleton.joints == ("a", "b", "c")


# ---------------------------------------------------------------- our own file, and round trips

relaxed = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(SKELETONS)), more=st.booleans())
@relaxed
def test_round_trip_npz(tmp_path: Path, seed: int, name: str, more: bool) -> None:
    rng = np.random.default_rng(seed)
    extra: dict[str, Any] = {}
    if more:
        extra = {"fps": 59.94, "times": rng.random((2, 4)), "image_sizes": [[640, 480], [1088, 1920]]}
        extra["sigma_px"] = rng.random((2, 4, SKELETONS[name].n_joints))
    k = example(rng, skeleton=SKELETONS[name], **extra)
    back = read_keypoints(write_keypoints(k, tmp_path / "k.npz"))
    assert_same(back, k)
    assert back.skeleton is SKELETONS[name] and back.fps == k.fps
    for key in ("times", "image_sizes", "sigma_px"):
        np.testing.assert_array_equal(getattr(back, key), getattr(k, key))


@given(seed=st.integers(0, 10**6))
@relaxed
def test_round_trip_coco(tmp_path: Path, seed: int) -> None:
    k = example(np.random.default_rng(seed), image_sizes=[[640, 480]] * 2)
    back = read_keypoints(write_keypoints(k, tmp_path / "k.json"))
    assert_same(back, k)
    np.testing.assert_array_equal(back.image_sizes, k.image_sizes)


@pytest.mark.parametrize("skeleton", [BODY25, HALPE26, COCO17])
def test_round_trip_openpose(tmp_path: Path, skeleton: Skeleton) -> None:
    k = example(np.random.default_rng(1), skeleton=skeleton)
    xy = k.xy.copy()
    xy[0, 1] = np.nan
    k = k.replace(xy=xy)
    write_keypoints(k, tmp_path / "json")
    assert_same(read_keypoints(tmp_path / "json", skeleton=skeleton), k)


def test_openpose_export_replaces_only_its_own_folders(tmp_path: Path) -> None:
    k = example(np.random.default_rng(1), skeleton=BODY25)
    (tmp_path / "video.mp4").write_text("precious")
    write_keypoints(k, tmp_path, format="openpose")
    write_keypoints(k.frames(slice(0, 2)), tmp_path, format="openpose")
    assert (tmp_path / "video.mp4").read_text() == "precious"
    assert read_keypoints(tmp_path).n_frames == 2
    (tmp_path / "cam0_json" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not replaced"):
        write_keypoints(k, tmp_path, format="openpose")
    assert (tmp_path / "cam0_json" / "notes.txt").exists()


def test_custom_skeleton_survives(tmp_path: Path) -> None:
    bat = Skeleton("bat", ("handle", "tip"), (("handle", "tip"),))
    k = example(np.random.default_rng(0), skeleton=bat)
    assert read_keypoints(write_keypoints(k, tmp_path / "k.npz")).skeleton == bat


def test_npz_faults(tmp_path: Path) -> None:
    path = tmp_path / "k.npz"
    with pytest.raises(InputError, match="does not exist"):
        read_keypoints(path)
    save_npz(path, xy=np.zeros((1, 2, 17, 2)))
    with pytest.raises(InputError, match="'score'"):
        read_keypoints(path)
    save_npz(path, xy=np.zeros((1, 2, 17, 2)), score=np.ones((1, 2, 17)))
    with pytest.raises(InputError, match="skeleton"):
        read_keypoints(path)
    assert read_keypoints(path, skeleton="coco17").n_frames == 2
    with pytest.raises(InputError, match=r"k\.npz.*17 joints"):
        read_keypoints(path, skeleton="body25")
    save_npz(path, xy=np.zeros((1, 2, 17, 2)), score=np.full((1, 2, 17), 3.0), skeleton="coco17")
    with pytest.raises(InputError, match="score"):
        read_keypoints(path)
    with pytest.raises(InputError, match="format"):
        write_keypoints(read_keypoints(GOLDEN / "coco.json"), tmp_path / "a.xyz")


@pytest.mark.parametrize("name", ["coco.json", "alphapose.json", "mmpose.json", "camADLC_resnet50_run.csv"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_files_never_crash(tmp_path: Path, name: str, share: float) -> None:
    data = (GOLDEN / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError) as caught:
        read_keypoints(tmp_path / name, person="largest")
    assert name in str(caught.value)


def test_unknown_input(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "a.json").write_text('{"a": 1}')
    for path, message in ((tmp_path / "a.txt", "OpenPose"), (tmp_path / "a.json", "AlphaPose")):
        with pytest.raises(InputError, match=message):
            read_keypoints(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="without JSON"):
        read_keypoints(tmp_path / "empty")
