"""Any local RTMPose or ViTPose network (ONNX), top-down: a person box, a crop, the joints.

Accepted networks: one input (1, 3, H, W), RGB, normalised; and either two outputs (1, J, k W) and (1, J, k H), as
RTMPose and other SimCC networks give, or one output (1, J, h, w) of heat maps, as ViTPose, HRNet and others give.
The person box comes from BlazePose's detector, or from a detector ONNX with the outputs ``dets`` (1, N, 5) (x0, y0,
x1, y1, score) and ``labels`` (1, N), 0 = person, as the YOLOX and RTMDet files of rtmlib have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from sportcore.errors import InputError
from sportcore.keypoints2d.blazepose import SELECT
from sportcore.keypoints2d.detector import Collector, Detections, Progress
from sportcore.keypoints2d.follow import Box, box_of_points, pick
from sportcore.keypoints2d.heads import decode_heatmaps, decode_simcc
from sportcore.keypoints2d.person import PersonDetector
from sportcore.keypoints2d.runtime import load_network
from sportcore.skeletons import BODY25, COCO17, HALPE26, Skeleton, get_skeleton
from sportcore.videos import Frame

__all__ = ["OnnxPersons", "OnnxPose"]

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
_BY_COUNT = {17: COCO17, 25: BODY25, 26: HALPE26, 133: COCO17}  # 133: COCO-WholeBody begins with COCO's 17


class OnnxPose:
    """A top-down pose network as a :class:`~sportcore.keypoints2d.Detector`.

    Args:
        model_path: the ONNX file.
        person_path: BlazePose's person detector (TFLite) or a detector ONNX; default is the cached
            ``blazepose-person``.
        skeleton: of the joints; default by their number: 17 COCO, 25 BODY_25, 26 Halpe, 133 the first 17 as COCO.
        input_size: (W, H) of the network's input, needed where the file leaves it open.
        mean, std: normalisation per channel, in 0..255.
        bgr: the network wants blue first.
        udp: heat maps with UDP coordinates (ViTPose); False for HRNet and others trained without.
        padding: the crop is this much larger than the box.
        flip: run the mirrored crop too and average.
        min_score: joints below do not count for the next box; a mean below means the person is lost.
        lean_deg: the crop is turned with a person who leans by more than this.
        select, check_every, num_threads: as for BlazePose.
        download: fetch the person detector if it is missing.

    Raises:
        InputError: the file's inputs or outputs are of another layout, or an option has no meaning.
        WeightsError: a file is damaged or missing.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        person_path: str | Path | None = None,
        skeleton: str | Skeleton | None = None,
        input_size: tuple[int, int] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        bgr: bool = False,
        udp: bool = True,
        padding: float = 1.25,
        flip: bool = False,
        min_score: float = 0.3,
        lean_deg: float = 30.0,
        select: str = "largest",
        check_every: int = 10,
        num_threads: int | None = None,
        download: bool = False,
    ) -> None:
        from sportcore import weights

        if select not in SELECT:
            raise InputError(f"Unknown select={select!r}.", f"Use one of {', '.join(SELECT)}.")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0 or padding <= 0:
            raise InputError("mean and std have three values, std and padding are positive.")
        path = Path(model_path).expanduser()
        self._network = load_network(path, num_threads=num_threads)
        self._size = self._input_size(input_size)
        self._layout, n_joints = self._outputs()
        self._n = n_joints
        self.skeleton = self._skeleton(skeleton, n_joints)
        self.name = f"onnx:{path.stem}"
        if person_path is None:
            person_path = weights.ensure("blazepose-person") if download else weights.find("blazepose-person")
        self._persons = _load_persons(Path(person_path), num_threads)
        self._mean, self._std = np.array(mean, np.float32), np.array(std, np.float32)
        self._bgr, self._udp, self._padding, self._flip = bgr, udp, padding, flip
        self._min_score, self._lean, self._select = min_score, math.radians(lean_deg), select
        self._check_every = check_every
        marks = ",".join(weights.file_sha256(f)[:12] for f in (path, person_path))
        self.version = (
            f"1;{marks};{self.skeleton.name};{self._size};{tuple(mean)};{tuple(std)};bgr={bgr};udp={udp};pad={padding};"
            f"flip={flip};min={min_score};lean={lean_deg};select={select};check={check_every}"
        )

    def detect_video(
        self, frames: Iterable[Frame], image_size: tuple[int, int], *, progress: Progress | None = None
    ) -> Detections:
        """Follow one person through a video; see :class:`~sportcore.keypoints2d.Detections`."""
        out = Collector(self.skeleton, image_size, frames, progress)
        box: Box | None = None
        last: Box | None = None
        for number, frame in enumerate(frames):
            count: int | None = None
            found: tuple[np.ndarray, np.ndarray] | None = None
            if box is not None:
                found = self._try(frame.image_rgb, box)
            if found is None or (self._check_every and number % self._check_every == 0):
                people = self._persons.boxes(frame.image_rgb)
                count = len(people)
                if found is None:
                    for person in pick(people, last, self._select, image_size)[:3]:
                        found = self._try(frame.image_rgb, person)
                        if found is not None:  # the joints give a better box than the detector
                            found = self._try(frame.image_rgb, self._box(*found)) or found
                            break
            if found is None:
                box = None
                out.add(frame, None, n_persons=count)
            else:
                box = last = self._box(*found)
                out.add(frame, *found, n_persons=count)
        return out.result()

    def joints(self, image_rgb: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """(J, 2) px and (J,) scores of the person in a box."""
        width, height = self._size
        affine = self._image_from_input(box)
        crop = cv2.warpAffine(image_rgb, affine, self._size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        if self._bgr:
            crop = crop[:, :, ::-1]
        batch = ((crop.astype(np.float32) - self._mean) / self._std).transpose(2, 0, 1)[None]
        xy, score = self._read(self._network(batch))
        if self._flip:
            other, other_score = self._read(self._network(batch[:, :, :, ::-1]))
            permutation = np.asarray(self.skeleton.flip_permutation)
            other, other_score = other[permutation], other_score[permutation]
            other[:, 0] = width - 1 - other[:, 0]
            xy, score = 0.5 * (xy + other), 0.5 * (score + other_score)
        return xy @ affine[:, :2].T + affine[:, 2], score

    # --- reading the file --------------------------------------------------------------------------------

    def _input_size(self, given: tuple[int, int] | None) -> tuple[int, int]:
        shape = self._network.input_shape
        if len(shape) != 4 or shape[1] not in (3, None):
            raise InputError(
                f"{self._network.path} has an input of shape {shape}; a pose network here takes (1, 3, H, W).",
                "Convert the network to channels-first.",
            )
        height, width = shape[2], shape[3]
        if height is None or width is None:
            if given is None:
                raise InputError(f"{self._network.path} leaves its input size open.", "Pass input_size=(192, 256).")
            return (int(given[0]), int(given[1]))
        if given is not None and tuple(given) != (width, height):
            raise InputError(f"{self._network.path} has the input size {(width, height)}, not {tuple(given)}.")
        return (width, height)

    def _outputs(self) -> tuple[tuple[int, ...], int]:
        """(index of x, index of y) for SimCC or (index,) for heat maps, and J; found by one run on a grey image."""
        width, height = self._size
        answers = self._network(np.zeros((1, 3, height, width), np.float32))
        shapes = [a.shape for a in answers]
        maps = [i for i, s in enumerate(shapes) if len(s) == 4 and s[0] == 1 and width % s[3] == 0 == height % s[2]]
        if len(maps) == 1:
            return (maps[0],), shapes[maps[0]][1]
        vectors = [i for i, s in enumerate(shapes) if len(s) == 3 and s[0] == 1]
        if len(vectors) == 2 and shapes[vectors[0]][1] == shapes[vectors[1]][1]:
            for x, y in (vectors, vectors[::-1]):
                if shapes[x][2] * height == shapes[y][2] * width and shapes[x][2] >= width:
                    return (x, y), shapes[x][1]
        names = ", ".join(f"{n} {s}" for n, s in zip(self._network.output_names, shapes, strict=True))
        raise InputError(
            f"{self._network.path} gives {names}; that is neither SimCC, (1, J, k W) and (1, J, k H), nor heat maps, "
            f"(1, J, h, w), for an input of {width}x{height}.",
            "Export the network with one of these heads; see docs/detectors.md.",
        )

    def _skeleton(self, given: str | Skeleton | None, n_joints: int) -> Skeleton:
        if given is None:
            if n_joints not in _BY_COUNT:
                raise InputError(
                    f"{self._network.path} gives {n_joints} joints; which ones is not known.",
                    "Pass skeleton=Skeleton(name, joints, bones).",
                )
            return _BY_COUNT[n_joints]
        skeleton = get_skeleton(given)
        if skeleton.n_joints > n_joints or (skeleton.n_joints < n_joints and n_joints != 133):
            raise InputError(f"{self._network.path} gives {n_joints} joints, {skeleton.name} has {skeleton.n_joints}.")
        return skeleton

    # --- one frame ---------------------------------------------------------------------------------------

    def _try(self, image: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray] | None:
        xy, score = self.joints(image, box)
        good = score >= self._min_score
        if score.mean() < self._min_score or good.sum() < 3:
            return None
        return xy, score

    def _read(self, answers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        if len(self._layout) == 1:
            xy, score = decode_heatmaps(answers[self._layout[0]][0], self._size, udp=self._udp)
        else:
            xy, score = decode_simcc(answers[self._layout[0]][0], answers[self._layout[1]][0], self._size)
        n = self.skeleton.n_joints
        return xy[:n].astype(float), score[:n].astype(float)

    def _image_from_input(self, box: Box) -> np.ndarray:
        """(2, 3) affine from input pixel indices to image px; the box's centre is the middle of the input."""
        width, height = self._size
        scale = self._padding * max(box.width / width, box.height / height)
        angle = box.angle if abs(box.angle) > self._lean else 0.0
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        edge = 1 if self._udp and len(self._layout) == 1 else 0
        middle_x, middle_y = (width - edge) / 2.0, (height - edge) / 2.0
        x, y = box.centre
        return np.array(
            [[cos, -sin, x - cos * middle_x + sin * middle_y], [sin, cos, y - sin * middle_x - cos * middle_y]]
        )

    def _box(self, xy: np.ndarray, score: np.ndarray) -> Box:
        """Box of the joints; turned with the trunk where the skeleton tells its direction."""
        box = box_of_points(xy, score, self._min_score)
        assert box is not None  # _try asked for three good joints
        needed = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
        if not all(n in self.skeleton.joints for n in needed):
            return box
        index = [self.skeleton.index(n) for n in needed]
        if score[index].min() < self._min_score:
            return box
        trunk = xy[index[2:]].mean(axis=0) - xy[index[:2]].mean(axis=0)
        angle = math.atan2(trunk[0], -trunk[1])
        if abs(angle) <= self._lean:
            return box
        # A leaning person: measure the extent in the turned axes.
        cos, sin = math.cos(angle), math.sin(angle)
        turned = xy @ np.array([[cos, -sin], [sin, cos]])
        again = box_of_points(turned, score, self._min_score)
        assert again is not None
        centre = np.array([[cos, -sin], [sin, cos]]) @ np.array(again.centre)
        return replace(again, centre=(float(centre[0]), float(centre[1])), angle=angle)


class _Persons(Protocol):
    def boxes(self, image_rgb: np.ndarray) -> list[Box]: ...


class _BlazePersons:
    """BlazePose's person detector as a giver of boxes."""

    def __init__(self, path: Path, num_threads: int | None) -> None:
        self._finder = PersonDetector(path, num_threads=num_threads)

    def boxes(self, image_rgb: np.ndarray) -> list[Box]:
        out = []
        for person in self._finder.detect(image_rgb) or self._finder.detect_small(image_rgb):
            region = person.region
            side = region.size / 1.25  # the circle around the body, without BlazePose's margin
            out.append(Box(region.centre, 0.75 * side, side, person.score, region.angle))
        return out


class OnnxPersons:
    """A person detector ONNX with ``dets`` (1, N, 5) and ``labels`` (1, N); YOLOX or RTMDet as in rtmlib.

    The image is put into the upper left of the input, the rest is grey (114). Without ``mean`` the values stay
    0..255 (YOLOX); channels are blue first, as these networks were trained.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        min_score: float = 0.5,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        num_threads: int | None = None,
    ) -> None:
        self._network = load_network(path, num_threads=num_threads)
        shape = self._network.input_shape
        if len(shape) != 4 or shape[1] != 3 or shape[2] is None or shape[3] is None:
            raise InputError(f"{path} has an input of shape {shape}; a person detector here takes (1, 3, H, W).")
        self._height, self._width = shape[2], shape[3]
        self._min_score = min_score
        self._mean = np.array(mean if mean is not None else (0, 0, 0), np.float32)
        self._std = np.array(std if std is not None else (1, 1, 1), np.float32)

    def boxes(self, image_rgb: np.ndarray) -> list[Box]:
        """People, best first."""
        height, width = image_rgb.shape[:2]
        scale = min(self._height / height, self._width / width)
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        full = np.full((self._height, self._width, 3), 114, np.uint8)
        full[: size[1], : size[0]] = cv2.resize(image_rgb, size, interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
        answers = self._network(((full.astype(np.float32) - self._mean) / self._std).transpose(2, 0, 1)[None])
        dets = next((a for a in answers if a.ndim == 3 and a.shape[2] == 5), None)
        if dets is None:
            raise InputError(
                f"{self._network.path} gives {[a.shape for a in answers]}; expected dets (1, N, 5) and labels (1, N).",
                "Export the detector with its non-maximum suppression; see docs/detectors.md.",
            )
        labels = next((a for a in answers if a.ndim == 2 and a.shape[1] == dets.shape[1]), np.zeros((1, dets.shape[1])))
        keep = (dets[0, :, 4] >= self._min_score) & (labels[0] == 0)
        found = sorted(dets[0, keep], key=lambda d: -float(d[4]))
        return [Box.from_corners(d[:4] / scale, float(d[4])) for d in found]


def _load_persons(path: Path, num_threads: int | None) -> _Persons:
    if path.suffix.lower() == ".onnx":
        return OnnxPersons(path, num_threads=num_threads)
    return _BlazePersons(path, num_threads)
