"""Local ONNX networks: tiny ones, written here byte by byte, that embody a known answer.

The pose network finds joint j as the disc whose grey value is ``grey(j)``; the person detector always answers with
the same boxes. The writer below knows just enough of the ONNX file format (a protocol buffer, onnx.proto3).
"""

from __future__ import annotations

import struct
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from sportcore import weights
from sportcore.errors import InputError, MissingExtraError, WeightsError
from sportcore.keypoints2d import detect_video_file, make_detector
from sportcore.keypoints2d.follow import Box, box_of_points, pick
from sportcore.keypoints2d.landmarks import LandmarkNet
from sportcore.keypoints2d.onnx_pose import IMAGENET_MEAN, IMAGENET_STD, OnnxPersons, OnnxPose
from sportcore.keypoints2d.regions import Region
from sportcore.skeletons import COCO17, HALPE26, Skeleton
from sportcore.videos import Frame

WIDTH, HEIGHT = 480, 360


# --- a writer for small ONNX files ------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, array: np.ndarray) -> bytes:
    kind = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}[array.dtype]
    dims = b"".join(field(1, n) for n in array.shape)
    return dims + field(2, kind) + field(8, name) + field(9, array.tobytes())


def value_info(name: str, shape: Sequence[int | str], kind: int = 1) -> bytes:
    dims = b"".join(field(1, field(1, n) if isinstance(n, int) else field(2, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def node(op: str, inputs: list[str], outputs: list[str], **attributes: object) -> bytes:
    out = b"".join(field(1, i) for i in inputs) + b"".join(field(2, o) for o in outputs) + field(4, op)
    for name, value in attributes.items():
        if isinstance(value, float):
            body = varint(2 << 3 | 5) + struct.pack("<f", value) + field(20, 1)
        elif isinstance(value, int):
            body = field(3, value) + field(20, 2)
        else:
            body = b"".join(field(8, int(v)) for v in value) + field(20, 7)  # type: ignore[attr-defined]
        out += field(5, field(1, name) + body)
    return out


def write_onnx(
    path: Path,
    nodes: list[bytes],
    weights_: dict[str, np.ndarray],
    shape: Sequence[int | str],
    outputs: dict[str, tuple[Sequence[int | str], int]],
) -> Path:
    graph = b"".join(field(1, n) for n in nodes) + field(2, "g")
    graph += b"".join(field(5, tensor(n, a)) for n, a in weights_.items())
    graph += field(11, value_info("image", shape))
    graph += b"".join(field(12, value_info(n, s, k)) for n, (s, k) in outputs.items())
    path.write_bytes(field(1, 8) + field(8, field(1, "") + field(2, 13)) + field(7, graph))
    return path


# --- networks with known answers --------------------------------------------------------------------------------


def grey(joint: int | np.ndarray, n: int) -> float | np.ndarray:
    return 60.0 + 190.0 * joint / (n - 1)


def pose_network(
    path: Path,
    n: int,
    head: str,
    size: tuple[int, int] = (192, 256),
    *,
    channel: int = 0,
    open_size: bool = False,
) -> Path:
    """Responds at the discs of grey value ``grey(j)`` in one channel, smoothed so that the middle is highest."""
    width, height = size
    tolerance = 95.0 / (n - 1)
    mean, std = IMAGENET_MEAN[channel], IMAGENET_STD[channel]
    pick_channel = np.zeros((n, 3, 1, 1), np.float32)
    pick_channel[:, channel] = std / tolerance
    bias = ((mean - grey(np.arange(n), n)) / tolerance).astype(np.float32)
    kernel = 15
    bell = np.exp(-0.5 * ((np.arange(kernel) - kernel // 2) / 3.0) ** 2)
    blur = np.repeat((np.outer(bell, bell) / bell.sum() ** 2)[None, None], n, axis=0).astype(np.float32)
    data = {"w": pick_channel, "b": bias, "blur": blur, "one": np.array(1.0, np.float32), "axis3": np.array([3])}
    half = kernel // 2
    nodes = [
        node("Conv", ["image", "w", "b"], ["away"]),
        node("Abs", ["away"], ["distance"]),
        node("Sub", ["one", "distance"], ["near"]),
        node("Relu", ["near"], ["hit"]),
        node("Conv", ["hit", "blur"], ["full"], group=n, pads=[half] * 4),
    ]
    shape: list[int | str] = [1, 3, "h" if open_size else height, "w" if open_size else width]
    if head == "heatmap":
        nodes.append(node("AveragePool", ["full"], ["maps"], kernel_shape=[4, 4], strides=[4, 4]))
        outputs = {"maps": ((1, n, "hh", "ww"), 1)}
    else:
        nodes += [
            node("ReduceMax", ["full"], ["simcc_x"], axes=[2], keepdims=0),
            node("ReduceMax", ["full"], ["simcc_y"], axes=[3], keepdims=0),
        ]
        outputs = {"simcc_x": ((1, n, "ww"), 1), "simcc_y": ((1, n, "hh"), 1)}
        if head == "simcc reversed":
            outputs = dict(reversed(outputs.items()))
    data.pop("axis3")
    return write_onnx(path, nodes, data, shape, outputs)


def person_network(path: Path, boxes: np.ndarray, labels: list[int], size: tuple[int, int] = (320, 320)) -> Path:
    """Always the same boxes; the image only takes part with weight 0."""
    dets, names = boxes.astype(np.float32)[None], np.array(labels, np.int64)[None]
    nodes = [
        node("ReduceMax", ["image"], ["top"], keepdims=0),
        node("Mul", ["top", "zero"], ["nothing"]),
        node("Add", ["d", "nothing"], ["dets"]),
        node("Identity", ["l"], ["labels"]),
    ]
    data = {"d": dets, "l": names, "zero": np.array(0.0, np.float32)}
    outputs = {"dets": (dets.shape, 1), "labels": (names.shape, 7)}
    return write_onnx(path, nodes, data, [1, 3, size[1], size[0]], outputs)


def body(n: int, seed: int = 0, spread: tuple[float, float] = (60, 130)) -> np.ndarray:
    """(n, 2) places around (240, 180), far enough from each other that no disc hides another."""
    rng = np.random.default_rng(seed)
    cells = [(x, y) for x in np.linspace(-1, 1, 5) for y in np.linspace(-1, 1, 7)]
    chosen = np.array(cells)[rng.permutation(len(cells))[:n]]
    return np.array([240.0, 180.0]) + chosen * spread


def paint(joints: np.ndarray, channel: int | None = None) -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for j, (x, y) in enumerate(joints):
        value = round(float(grey(j, len(joints))))
        colour = tuple(value if channel in (None, c) else 0 for c in range(3))
        cv2.circle(image, (round(x * 16), round(y * 16)), 9 * 16, colour, -1, cv2.LINE_8, 4)
    return image


@pytest.fixture(autouse=True)
def _engine() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.fixture
def person(tmp_path: Path) -> Path:
    """A detector that sees one person around the body; the image is scaled by 2/3 into its 320 px."""
    box = np.array([[165, 40, 315, 320]]) * (320 / 480)
    return person_network(tmp_path / "person.onnx", np.c_[box, 0.9], [0])


@pytest.mark.parametrize("n", [17, 26])
@pytest.mark.parametrize("head", ["simcc", "simcc reversed", "heatmap"])
def test_known_joints_are_found(head: str, n: int, tmp_path: Path, person: Path) -> None:
    truth = body(n)
    detector = make_detector(
        f"onnx:{pose_network(tmp_path / 'pose.onnx', n, head)}", person_path=person, udp=False, num_threads=1
    )
    assert detector.skeleton is {17: COCO17, 26: HALPE26}[n]
    found = detector.detect_video([Frame(0, 0.0, paint(truth))], (WIDTH, HEIGHT))
    assert found.present[0] and found.n_persons[0] == 1
    away = np.linalg.norm(found.xy[0] - truth, axis=-1)
    # one input px is about 1.4 image px; the middle of a heat map cell of 4 px lies 1.5 px beyond its first pixel
    assert np.median(away) < (0.7 if "simcc" in head else 3.5) and away.max() < (1.5 if "simcc" in head else 6)
    assert np.all(found.score[0] > 0.3)


def test_flip_agrees_and_halves_nothing(tmp_path: Path, person: Path) -> None:
    """With a skeleton without sides the mirrored pass must find the same joints."""
    n = 17
    truth = body(n, 3)
    loose = Skeleton("loose", tuple(f"point{i}" for i in range(n)), ())
    path = pose_network(tmp_path / "pose.onnx", n, "simcc")
    plain, flipped = (
        OnnxPose(path, person_path=person, skeleton=loose, flip=flip).joints(paint(truth), Box((240, 180), 150, 280))
        for flip in (False, True)
    )
    np.testing.assert_allclose(flipped[0], plain[0], atol=0.5)
    assert np.linalg.norm(flipped[0] - truth, axis=-1).max() < 2


@pytest.mark.parametrize("bgr", [False, True])
def test_channel_order(bgr: bool, tmp_path: Path, person: Path) -> None:
    """The network looks at its first channel only; the picture has only red."""
    truth = body(17)
    path = pose_network(tmp_path / "pose.onnx", 17, "simcc", channel=0)
    found = OnnxPose(path, person_path=person, bgr=bgr).detect_video(
        [Frame(0, 0.0, paint(truth, channel=0))], (WIDTH, HEIGHT)
    )
    assert found.present[0] == (not bgr)


def test_leaning_person_is_turned_upright(tmp_path: Path, person: Path) -> None:
    """The crop turns with the person when the lean is large, and the joints come back in image px."""
    truth = body(17, 1, (50, 100))
    index = [COCO17.index(j) for j in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]
    free = np.array([[290, 160], [290, 200], [190, 160], [190, 200]])  # trunk lies flat, head to the right
    others = [i for i in range(17) if i not in index]
    truth[index] = free
    grid = np.array([(x, y) for x in (140, 165, 215, 240, 265, 315, 340) for y in (130, 230)])
    truth[others] = grid[: len(others)]
    detector = OnnxPose(pose_network(tmp_path / "pose.onnx", 17, "simcc"), person_path=person)
    picture = paint(truth)
    box = detector._box(*detector.joints(picture, Box((240, 180), 230, 280)))
    assert box.angle == pytest.approx(np.pi / 2, abs=0.1)
    assert box.height > box.width, "in its own axes the person is tall"
    xy, score = detector.joints(picture, box)
    assert np.linalg.norm(xy - truth, axis=-1).max() < 2 and score.min() > 0.3


def test_person_who_leaves_is_missing_and_found_again(tmp_path: Path, person: Path) -> None:
    truth = body(17)
    scenes = [
        paint(truth + (2 * i, 0)) if i not in (3, 4) else np.zeros((HEIGHT, WIDTH, 3), np.uint8) for i in range(7)
    ]
    detector = OnnxPose(pose_network(tmp_path / "pose.onnx", 17, "simcc"), person_path=person)
    found = detector.detect_video([Frame(i, i / 25, s) for i, s in enumerate(scenes)], (WIDTH, HEIGHT))
    assert list(np.flatnonzero(~found.present)) == [3, 4]
    assert np.linalg.norm(found.xy[6] - truth - (12, 0), axis=-1).max() < 2
    assert np.isnan(found.xy[3:5]).all()


def test_person_boxes_are_scaled_back(tmp_path: Path) -> None:
    boxes = np.array([[10, 20, 110, 220, 0.6], [0, 0, 50, 50, 0.99], [30, 30, 60, 90, 0.8], [1, 1, 2, 2, 0.2]])
    path = person_network(tmp_path / "d.onnx", boxes, [0, 7, 0, 0], size=(240, 240))
    found = OnnxPersons(path).boxes(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert [round(b.score, 2) for b in found] == [0.8, 0.6], "best first; other classes and low scores left out"
    assert found[1].centre == (pytest.approx(120), pytest.approx(240))
    assert (found[1].width, found[1].height) == (pytest.approx(200), pytest.approx(400))


def test_open_input_size(tmp_path: Path, person: Path) -> None:
    path = pose_network(tmp_path / "pose.onnx", 17, "simcc", open_size=True)
    with pytest.raises(InputError, match="leaves its input size open"):
        OnnxPose(path, person_path=person)
    found = OnnxPose(path, person_path=person, input_size=(192, 256)).joints(paint(body(17)), Box((240, 180), 150, 280))
    assert np.linalg.norm(found[0] - body(17), axis=-1).max() < 2
    with pytest.raises(InputError, match="has the input size"):
        OnnxPose(pose_network(tmp_path / "b.onnx", 17, "simcc"), person_path=person, input_size=(288, 384))


def test_unsuitable_files_are_refused(tmp_path: Path, person: Path) -> None:
    data = {"one": np.array(1.0, np.float32)}
    flat = write_onnx(
        tmp_path / "flat.onnx",
        [node("Add", ["image", "one"], ["sum"]), node("ReduceMax", ["sum"], ["out"], axes=[2, 3], keepdims=0)],
        data,
        [1, 3, 64, 64],
        {"out": ((1, 3), 1)},
    )
    with pytest.raises(InputError, match=r"gives out \(1, 3\); that is neither SimCC"):
        OnnxPose(flat, person_path=person)
    last = write_onnx(
        tmp_path / "nhwc.onnx",
        [node("Add", ["image", "one"], ["out"])],
        data,
        [1, 64, 64, 3],
        {"out": ((1, 64, 64, 3), 1)},
    )
    with pytest.raises(InputError, match="channels-first"):
        OnnxPose(last, person_path=person)
    with pytest.raises(InputError, match="11 joints; which ones is not known"):
        OnnxPose(pose_network(tmp_path / "eleven.onnx", 11, "simcc"), person_path=person)
    with pytest.raises(InputError, match="gives 17 joints, halpe26 has 26"):
        OnnxPose(pose_network(tmp_path / "p.onnx", 17, "simcc"), person_path=person, skeleton="halpe26")
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08hello")
    with pytest.raises(WeightsError, match=r"broken\.onnx is damaged"):
        OnnxPose(tmp_path / "broken.onnx", person_path=person)
    with pytest.raises(InputError, match="no model file"):
        make_detector(f"onnx:{tmp_path / 'none.onnx'}", person_path=person)
    (tmp_path / "text.bin").write_text("hello, this is no model")
    with pytest.raises(InputError, match="neither a TFLite nor an ONNX"):
        make_detector(f"onnx:{tmp_path / 'text.bin'}", person_path=person)


def test_version_follows_the_files(tmp_path: Path, person: Path) -> None:
    one = OnnxPose(pose_network(tmp_path / "a.onnx", 17, "simcc"), person_path=person)
    other = OnnxPose(pose_network(tmp_path / "b.onnx", 17, "heatmap"), person_path=person)
    assert one.version != other.version != OnnxPose(tmp_path / "b.onnx", person_path=person, udp=False).version
    assert one.name == "onnx:a"


def test_blazepose_gives_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real person detector in front of a stand-in pose network: the box holds the person."""
    pytest.importorskip("ai_edge_litert", reason="no TFLite engine is installed")
    try:
        weights.find("blazepose-person")
    except WeightsError as error:
        pytest.skip(f"weights are not on this machine: {error.message}")
    picture = cv2.imread(str(Path(__file__).parent / "golden" / "detector" / "walker.jpg"))[:, :, ::-1]
    detector = OnnxPose(pose_network(tmp_path / "pose.onnx", 17, "simcc"))
    boxes = detector._persons.boxes(np.ascontiguousarray(picture))
    assert len(boxes) == 1
    assert np.hypot(boxes[0].centre[0] - 235, boxes[0].centre[1] - 300) < 60
    assert 350 < boxes[0].height < 750


@pytest.mark.parametrize("open_shapes", [False, True])
def test_blazepose_converted_to_onnx(open_shapes: bool, tmp_path: Path) -> None:
    """A file with the inputs and outputs of BlazePose's landmark network gives its known landmarks, mapped back."""
    landmarks = np.zeros((39, 5), np.float32)
    landmarks[:, 0], landmarks[:, 1] = np.linspace(20, 236, 39), np.linspace(236, 20, 39)
    landmarks[:, 3:] = (0.0, 20.0)
    world = np.tile(np.array([0.1, 0.2, 0.3], np.float32), 39)
    values = {
        "ld": landmarks.reshape(1, -1), "presence": np.array([[0.75]], np.float32),
        "mask": np.full((1, 256, 256, 1), -5, np.float32), "heat": np.full((1, 64, 64, 39), -50, np.float32),
        "world": world[None],
    }  # fmt: skip
    nodes = [node("ReduceMax", ["image"], ["top"], keepdims=0), node("Mul", ["top", "zero"], ["nothing"])]
    nodes += [node("Add", [f"{name}_value", "nothing"], [name]) for name in values]
    data = {f"{name}_value": value for name, value in values.items()} | {"zero": np.array(0.0, np.float32)}
    outputs = {
        name: ((1, *(f"{name}{i}" if open_shapes else n for i, n in enumerate(v.shape[1:]))), 1)
        for name, v in values.items()
    }
    net = LandmarkNet(write_onnx(tmp_path / "l.onnx", nodes, data, [1, 256, 256, 3], outputs), num_threads=1)
    region = Region((300.0, 200.0), 512.0, np.pi / 2)
    found = net(np.zeros((400, 600, 3), np.uint8), region, with_mask=True)
    assert found.presence == 0.75 and found.mask_logits is not None and found.mask_logits.shape == (256, 256)
    # a quarter turn clockwise: crop (u, v) lies at (300 - 2 (v - 128), 200 + 2 (u - 128))
    expected = np.stack([300 - 2 * (landmarks[:, 1] - 128), 200 + 2 * (landmarks[:, 0] - 128)], -1)
    np.testing.assert_allclose(found.xy, expected, atol=1e-4)
    np.testing.assert_allclose(found.visibility, 0.5)
    np.testing.assert_allclose(found.inside, 1.0, atol=1e-6)
    np.testing.assert_allclose(found.world_m[5], [-0.2, 0.1, 0.3], atol=1e-6)
    assert found.next_region.centre == tuple(found.xy[33])


# --- choosing whom to follow --------------------------------------------------------------------------------------


def test_pick_and_boxes() -> None:
    boxes = [Box((50, 50), 20, 60, 0.9), Box((320, 240), 30, 80, 0.5), Box((600, 400), 90, 200, 0.7)]
    size = (640, 480)
    assert [pick(boxes, None, s, size)[0] for s in ("best", "central", "largest")] == boxes
    assert pick(boxes, Box((330, 250), 30, 80), "largest", size) == [boxes[1]]
    assert pick(boxes, Box((-900, 0), 10, 10), "largest", size)[0] is boxes[2], "nobody near: by policy again"
    xy = np.array([[0, 0], [10, 0], [10, 30], [np.nan, np.nan], [99, 99]])
    box = box_of_points(xy, np.array([1, 1, 1, 1, 0.1]), 0.3)
    assert box is not None and (box.centre, box.width, box.height) == ((5, 15), 10, 30)
    assert box_of_points(xy[:2], np.ones(2), 0.3) is None


# --- rtmlib ----------------------------------------------------------------------------------------------------------


def test_rtmlib_plumbing_with_a_fake_module_of_its_interface(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the adapter is tested: options through, BGR in, the followed person out, its printing kept quiet."""
    made: list[dict[str, object]] = []
    seen: list[np.ndarray] = []
    near, far = body(26), body(26) * 0.3 + 300

    class BodyWithFeet:
        def __init__(self, **options: object) -> None:
            print("load model from the web")
            made.append(options)

        def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen.append(image)
            people = [far, near] if len(seen) != 3 else [near[::-1], far][:0]
            return np.array(people).reshape(-1, 26, 2), np.full((len(people), 26), 0.8)

    fake = types.ModuleType("rtmlib")
    fake.BodyWithFeet = BodyWithFeet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rtmlib", fake)
    detector = make_detector(
        "rtmlib", mode="lightweight", pose="/local/pose.onnx", pose_input_size=(192, 256), num_threads=1
    )
    assert made == [
        {
            "mode": "lightweight", "backend": "onnxruntime", "device": "cpu", "to_openpose": False,
            "pose": "/local/pose.onnx", "pose_input_size": (192, 256),
        }
    ]  # fmt: skip
    assert detector.skeleton is HALPE26
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[:, :, 0] = 255
    found = detector.detect_video([Frame(i, i / 30, red) for i in range(4)], (WIDTH, HEIGHT))
    assert seen[0][0, 0].tolist() == [0, 0, 255], "rtmlib wants blue first"
    assert found.n_persons.tolist() == [2, 2, 0, 2] and found.present.tolist() == [True, True, False, True]
    np.testing.assert_allclose(found.xy[3], near)
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="Unknown rtmlib solution"):
        make_detector("rtmlib", solution="Wholebody")


def test_rtmlib_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps rtmlib"):
        make_detector("rtmlib")


def test_rtmlib_itself_has_the_interface() -> None:
    """Where rtmlib is installed: the options that the adapter hands over exist (nothing is built or downloaded)."""
    import inspect

    rtmlib = pytest.importorskip("rtmlib", reason="rtmlib is not installed")
    for name in ("Body", "BodyWithFeet"):
        known = inspect.signature(getattr(rtmlib, name)).parameters
        assert {"mode", "backend", "device", "to_openpose", "det", "pose"} <= set(known)


def test_onnx_on_a_real_video(tmp_path: Path, person: Path) -> None:
    """From the file to the joints, through the encoder: loose bounds, no surprises."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    truth = body(17)
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 8_000_000
        for _ in range(5):
            for packet in stream.encode(av.VideoFrame.from_ndarray(paint(truth), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    network = pose_network(tmp_path / "pose.onnx", 17, "simcc")
    found = detect_video_file(path, make_detector(f"onnx:{network}", person_path=person, min_score=0.1))
    assert found.present.all() and found.n_frames == 5
    assert np.median(np.linalg.norm(found.xy - truth, axis=-1)) < 3
