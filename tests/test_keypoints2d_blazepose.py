"""BlazePose: tracking logic with stand-in networks, and the real networks on one real picture."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from sportcore import weights
from sportcore.errors import InputError, SportcoreError, WeightsError
from sportcore.keypoints2d import blazepose as module
from sportcore.keypoints2d import make_detector
from sportcore.keypoints2d.blazepose import BlazePose
from sportcore.keypoints2d.landmarks import CROP_SIZE, Landmarks
from sportcore.keypoints2d.person import Person
from sportcore.keypoints2d.regions import Region
from sportcore.videos import Frame

GOLDEN = Path(__file__).parent / "golden" / "detector"
WIDTH, HEIGHT = 640, 480


# --- stand-ins: people are discs; a disc of radius r stands for a body of height 8 r ------------------------------


def scene(*discs: tuple[float, float, int, int]) -> np.ndarray:
    """Discs of (x, y, radius, brightness) on black."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for x, y, radius, value in discs:
        cv2.circle(image, (round(x), round(y)), radius, (value, value, value), -1)
    return image


def discs_in(image: np.ndarray) -> list[tuple[np.ndarray, float, float]]:
    """(centre, radius, brightness) of each disc."""
    n, labels, stats, centres = cv2.connectedComponentsWithStats((image[:, :, 0] > 50).astype(np.uint8))
    out = []
    for i in range(1, n):
        if stats[i, cv2.CC_STAT_AREA] > 12:
            radius = float(np.sqrt(stats[i, cv2.CC_STAT_AREA] / np.pi))
            out.append((centres[i], radius, float(image[:, :, 0][labels == i].max())))
    return out


class StandInFinder:
    calls: int
    searches: int

    def __init__(self, path: Path, *, min_score: float = 0.5, num_threads: int | None = None) -> None:
        self.calls = self.searches = 0

    def detect(self, image: np.ndarray) -> list[Person]:
        self.calls += 1
        out = []
        for centre, radius, value in discs_in(image):
            points = np.stack([centre, centre - (0, 4 * radius), centre, centre])
            low, high = centre - radius, centre + radius
            out.append(Person(value / 255, (low[0], low[1], high[0], high[1]), points))
        return sorted(out, key=lambda p: -p.score)

    def detect_small(self, image: np.ndarray) -> list[Person]:
        self.searches += 1
        return []


class StandInNet:
    """Sees the disc nearest to the middle of the region; pixel (0, 0) of the image orders mischief.

    1: mixes people up unless the region is centred on one. 2: believes in a person where there is
    none. 3: the same, and lets it walk on to the right.
    """

    def __init__(self, path: Path, *, num_threads: int | None = None) -> None:
        self.calls = 0

    def __call__(
        self, image: np.ndarray, region: Region, *, with_mask: bool = False, mirror: bool = False
    ) -> Landmarks:
        self.calls += 1
        seen = []
        for centre, radius, _ in discs_in(image):
            away = float(np.hypot(*(centre - region.centre)))
            if away < 0.5 * region.size:
                seen.append((away, centre, radius))
        seen.sort(key=lambda s: s[0])
        mischief = int(image[0, 0, 2])
        presence, sight = (0.99, 0.9) if seen else (0.01, 0.1)
        centre, radius = (seen[0][1], seen[0][2]) if seen else (np.array(region.centre), region.size / 10)
        if mischief == 1 and len(seen) > 1 and seen[0][0] > 1.5:
            centre, radius = seen[-1][1], seen[-1][2]
        if mischief in (2, 3) and not seen:
            presence = 0.9
            if mischief == 3:  # the body goes on to the right
                centre = centre + (20.0, 0.0)
        xy = centre + radius * np.stack([np.linspace(-2, 2, 39), np.linspace(-3, 3, 39)], -1)
        if mirror:
            xy = xy + (2.0, 0.0)
        xy[33], xy[34] = centre, centre - (0, 4 * radius)
        logits = None
        if with_mask:
            grid = np.arange(CROP_SIZE) + 0.5 - CROP_SIZE / 2
            logits = np.where(np.hypot(*np.meshgrid(grid, grid)) < 32, 20.0, -20.0)
        return Landmarks(presence, xy, np.full(39, sight), np.ones(39), np.full((39, 3), 0.5), logits, region)


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setattr(module, "LandmarkNet", StandInNet)
    monkeypatch.setattr(module, "PersonDetector", StandInFinder)
    paths = {"landmarks_path": tmp_path / "l.tflite", "person_path": tmp_path / "p.tflite"}
    for path in paths.values():
        path.write_bytes(path.name.encode())
    return paths


def film(*scenes: np.ndarray) -> list[Frame]:
    return [Frame(i, i / 30, s) for i, s in enumerate(scenes)]


def centres(found: np.ndarray) -> np.ndarray:
    """Middle of the joints of each frame (the stand-in spreads 39 landmarks evenly)."""
    return np.asarray(found[:, 19])


def test_follows_a_moving_person(stand_ins: dict[str, Path]) -> None:
    path = [(100 + 5 * i, 240, 10, 200) for i in range(35)]
    detector = BlazePose("heavy", **stand_ins)
    found = detector.detect_video(film(*(scene(p) for p in path)), (WIDTH, HEIGHT))
    assert found.present.all() and np.all(found.n_persons == 1) and found.warnings == ()
    np.testing.assert_allclose(centres(found.xy)[:, 0], [p[0] for p in path], atol=5)
    np.testing.assert_allclose(found.score, 0.9)
    np.testing.assert_allclose(found.times_s, np.arange(35) / 30)
    assert detector._finder.calls == 4, "once at the start, then every tenth frame"
    assert list(np.flatnonzero(found.counted)) == [0, 10, 20, 30]
    assert detector._net.calls == 36, "the first frame is looked at twice"


def test_lost_person_is_missing_and_found_again(stand_ins: dict[str, Path]) -> None:
    scenes = [scene((200, 240, 10, 200)) if i not in (5, 6, 7) else scene() for i in range(15)]
    found = BlazePose("heavy", **stand_ins).detect_video(film(*scenes), (WIDTH, HEIGHT))
    assert list(np.flatnonzero(~found.present)) == [5, 6, 7]
    assert np.isnan(found.xy[5:8]).all() and np.all(found.score[5:8] == 0) and np.all(found.n_persons[5:8] == 0)
    assert np.isfinite(found.xy[8:]).all()
    assert any("no person in 3 of 15 frames (5-7)" in w for w in found.warnings)


def test_person_far_away_is_not_taken_for_the_same_one_at_once(stand_ins: dict[str, Path]) -> None:
    """Who vanishes here and shows up far away may be somebody else: missing for a second, then followed."""
    scenes = [scene((100 if i < 5 else 500, 240, 10, 200)) for i in range(45)]
    found = BlazePose("heavy", **stand_ins).detect_video(film(*scenes), (WIDTH, HEIGHT))
    lost = np.flatnonzero(~found.present)
    assert lost[0] == 5 and lost[-1] == 34 and len(lost) == 30
    np.testing.assert_allclose(centres(found.xy)[35:, 0], 500, atol=2)
    found = BlazePose("heavy", **stand_ins, patience_s=0.0).detect_video(film(*scenes), (WIDTH, HEIGHT))
    assert found.present.all(), "without patience there is no gap"


def test_person_who_leaps_is_found_in_the_same_frame(stand_ins: dict[str, Path]) -> None:
    scenes = [scene((100 if i < 5 else 155, 240, 10, 200)) for i in range(10)]
    found = BlazePose("heavy", **stand_ins).detect_video(film(*scenes), (WIDTH, HEIGHT))
    assert found.present.all()
    np.testing.assert_allclose(centres(found.xy)[5:, 0], 155, atol=2)


def test_person_who_walks_out_of_the_image_is_gone(stand_ins: dict[str, Path]) -> None:
    """The network goes on believing in the person beyond the border; the detector does not."""
    scenes = [scene((600 + 20 * i, 240, 10, 200)) for i in range(6)]
    for picture in scenes:
        picture[0, 0, 2] = 3
    found = BlazePose("heavy", **stand_ins).detect_video(film(*scenes), (WIDTH, HEIGHT))
    assert found.present[0] and not found.present[-1]


def test_nobody_at_all(stand_ins: dict[str, Path]) -> None:
    detector = BlazePose("heavy", **stand_ins)
    found = detector.detect_video(film(*[scene()] * 25), (WIDTH, HEIGHT))
    assert not found.present.any() and np.isnan(found.xy).all() and np.all(found.n_persons == 0)
    assert detector._finder.searches == 3, "the slow search is made every tenth frame only"
    with pytest.raises(InputError, match=r"cam7: a person was found in 0 of 25 frames"):
        found.require_person("cam7")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"select": "largest"}, 450),
        ({"select": "best"}, 120),
        ({"select": "central"}, 300),
        ({"near": (460.0, 220.0)}, 450),
        ({"near": (110.0, 260.0)}, 120),
    ],
)
def test_two_people_are_counted_and_one_is_chosen(
    stand_ins: dict[str, Path], options: dict[str, object], expected: int
) -> None:
    picture = scene((120, 240, 8, 250), (300, 240, 8, 150), (450, 240, 14, 200))
    found = BlazePose("heavy", **stand_ins, **options).detect_video(film(*[picture] * 12), (WIDTH, HEIGHT))
    assert np.all(found.n_persons == 3)
    np.testing.assert_allclose(centres(found.xy)[:, 0], expected, atol=3)
    assert any("up to 3 people in view in 12 of 12 frames" in w for w in found.warnings)


def test_person_found_again_is_the_one_near_where_it_was_lost(stand_ins: dict[str, Path]) -> None:
    """A larger person elsewhere does not take over when the followed one is hidden for a moment."""
    bystander = (550, 240, 12, 200)
    scenes = [scene((150, 240, 14, 200), bystander) if i not in (4, 5) else scene(bystander) for i in range(10)]
    near = [scene((150, 240, 10, 200), bystander) for _ in range(4)]
    found = BlazePose("heavy", **stand_ins, check_every=0).detect_video(
        film(*scenes[:4], scene(), *near), (WIDTH, HEIGHT)
    )
    np.testing.assert_allclose(centres(found.xy)[5:, 0], 150, atol=3)


def test_mix_up_within_the_region_is_undone(stand_ins: dict[str, Path]) -> None:
    """Both people lie in the region and the network jumps to the other one: the person detector settles it."""
    scenes = [scene((200 + 4 * i, 240, 12, 200), (255, 240, 6, 200)) for i in range(6)]
    scenes[4][0, 0, 2] = 1
    found = BlazePose("heavy", **stand_ins).detect_video(film(*scenes), (WIDTH, HEIGHT))
    np.testing.assert_allclose(centres(found.xy)[:, 0], [200 + 4 * i for i in range(6)], atol=5)
    assert any("went astray" in w and "(frames 4)" in w for w in found.warnings)


def test_track_that_drifted_onto_nothing_is_given_up(stand_ins: dict[str, Path]) -> None:
    """The network believes in a person where none is; the regular look finds the real one elsewhere."""
    scenes = [scene((100, 240, 10, 200))] + [scene((500, 240, 10, 200)) for _ in range(14)]
    for picture in scenes[1:]:
        picture[0, 0, 2] = 2
    found = BlazePose("heavy", **stand_ins, check_every=5, patience_s=0.1).detect_video(film(*scenes), (WIDTH, HEIGHT))
    assert not found.present[1:4].any() and np.isnan(found.xy[1:4]).all()
    np.testing.assert_allclose(centres(found.xy)[-5:, 0], 500, atol=2)


def test_joints_outside_the_image_are_missing(stand_ins: dict[str, Path]) -> None:
    picture = scene((WIDTH - 12, 240, 10, 200))
    found = BlazePose("heavy", **stand_ins).detect_image(picture)
    assert np.isnan(found.xy[0, 32]).all() and found.score[0, 32] == 0
    assert np.isfinite(found.xy[0, 0]).all() and found.present[0]
    kept = BlazePose("heavy", **stand_ins, keep_outside=True).detect_image(picture)
    assert kept.xy[0, 32, 0] > WIDTH and kept.score[0, 32] > 0


def test_flip_average(stand_ins: dict[str, Path]) -> None:
    """The stand-in's mirrored answer lies 2 px to the right; the average 1 px."""
    picture = scene((300, 240, 10, 200))
    plain = BlazePose("heavy", **stand_ins).detect_image(picture)
    flip = BlazePose("heavy", **stand_ins, flip_average=True).detect_image(picture)
    np.testing.assert_allclose(flip.xy - plain.xy, np.broadcast_to([1.0, 0.0], plain.xy.shape), atol=1e-6)


def test_masks_and_world_on_request(stand_ins: dict[str, Path]) -> None:
    frames = film(scene((300, 240, 10, 200)), scene())
    found = BlazePose("heavy", **stand_ins, masks=True, world=True).detect_video(frames, (WIDTH, HEIGHT))
    assert found.world_m is not None and found.world_m.shape == (2, 33, 3)
    assert np.isfinite(found.world_m[0]).all() and np.isnan(found.world_m[1]).all()
    mask = found.mask(0)
    assert mask.shape == (HEIGHT, WIDTH) and mask.dtype == np.uint8
    # the stand-in's mask is a disc of 32 crop px: an eighth of the region's side (10 r) in the image
    radius = 10 * np.sqrt((scene((300, 240, 10, 200))[:, :, 0] > 50).sum() / np.pi) / 8
    assert (mask > 127).sum() == pytest.approx(np.pi * radius**2, rel=0.05)
    ys, xs = np.nonzero(mask > 127)
    assert (xs.mean(), ys.mean()) == (pytest.approx(300, abs=0.7), pytest.approx(240, abs=0.7))
    assert not found.mask(1).any()
    plain = BlazePose("heavy", **stand_ins).detect_video(frames, (WIDTH, HEIGHT))
    assert plain.masks is None and plain.world_m is None
    with pytest.raises(InputError, match="masks=True"):
        plain.mask(0)


def test_progress_and_cancelling(stand_ins: dict[str, Path]) -> None:
    frames = film(*[scene((300, 240, 10, 200))] * 8)
    calls: list[tuple[int, int, str]] = []
    BlazePose("heavy", **stand_ins).detect_video(frames, (WIDTH, HEIGHT), progress=lambda *a: calls.append(a))
    assert [c[:2] for c in calls] == [(i, 8) for i in range(1, 9)]

    def stop(done: int, total: int, message: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BlazePose("heavy", **stand_ins).detect_video(frames, (WIDTH, HEIGHT), progress=stop)


def test_stream_without_length_is_walked_once(stand_ins: dict[str, Path]) -> None:
    totals: list[int] = []

    def stream() -> Iterator[Frame]:
        yield from film(*[scene((300, 240, 10, 200))] * 4)

    found = BlazePose("heavy", **stand_ins).detect_video(
        stream(), (WIDTH, HEIGHT), progress=lambda d, t, m: totals.append(t)
    )
    assert found.n_frames == 4 and totals == [0, 0, 0, 0]


def test_version_tells_weights_and_options_apart(stand_ins: dict[str, Path]) -> None:
    one = BlazePose("heavy", **stand_ins).version
    assert BlazePose("heavy", **stand_ins).version == one
    assert BlazePose("heavy", **stand_ins, check_every=5).version != one
    stand_ins["landmarks_path"].write_bytes(b"other weights")
    assert BlazePose("heavy", **stand_ins).version != one


def test_options_are_checked(stand_ins: dict[str, Path]) -> None:
    for bad in ({"select": "tallest"}, {"min_presence": 2.0}, {"check_every": -1}):
        with pytest.raises(InputError):
            BlazePose("heavy", **stand_ins, **bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no variant 'huge'"):
        BlazePose("huge")
    with pytest.raises(InputError, match=r"no option 'check_evry'.*check_every"):
        make_detector("blazepose-heavy", check_evry=3)


def test_missing_weights_are_never_downloaded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPORTCORE_CACHE", str(tmp_path))

    def no_network(*args: object, **kwargs: object) -> Path:
        raise AssertionError("the network was used")

    monkeypatch.setattr(weights._fetch, "fetch", no_network)
    with pytest.raises(WeightsError, match="sportcore weights fetch blazepose-heavy"):
        make_detector("blazepose-heavy")


def test_full_in_heavys_place_has_its_own_name(
    stand_ins: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(weights, "ensure", lambda name, **k: stand_ins["landmarks_path"])
    monkeypatch.setattr(weights, "identify", lambda path: "blazepose-full")
    detector = make_detector("blazepose-heavy", person_path=stand_ins["person_path"], download=True)
    assert detector.name == "blazepose-full" and "blazepose-full" in caplog.text


# --- the real networks --------------------------------------------------------------------------------------------


@pytest.fixture
def weights_or_skip(request: pytest.FixtureRequest) -> str:
    """Name of a detector whose weights are in the cache; tests never download."""
    pytest.importorskip("ai_edge_litert", reason="no TFLite engine is installed")
    name = f"blazepose-{request.param}"
    try:
        weights.find(name)
        weights.find("blazepose-person")
    except WeightsError as error:
        pytest.skip(f"weights are not on this machine: {error.message}")
    return name


def walker() -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(GOLDEN / "walker.jpg"))[:, :, ::-1])


@pytest.mark.parametrize("weights_or_skip", ["heavy", "full", "lite"], indirect=True)
def test_real_picture_gives_the_recorded_joints(weights_or_skip: str) -> None:
    golden = json.loads((GOLDEN / "walker.json").read_text())[weights_or_skip.removeprefix("blazepose-")]
    found = make_detector(weights_or_skip).detect_image(walker())  # type: ignore[attr-defined]
    assert found.present[0] and found.n_persons[0] == 1
    away = np.linalg.norm(found.xy[0] - np.array(golden["xy"]), axis=-1)
    assert np.median(away) < 0.5 and away.max() < 3.0
    np.testing.assert_allclose(found.score[0], golden["score"], atol=0.05)


@pytest.mark.parametrize("weights_or_skip", ["heavy"], indirect=True)
def test_real_mask_and_world_landmarks(weights_or_skip: str) -> None:
    golden = json.loads((GOLDEN / "walker.json").read_text())["heavy"]
    found = make_detector(weights_or_skip, masks=True, world=True).detect_image(walker())  # type: ignore[attr-defined]
    mask = found.mask(0) > 127
    assert mask.sum() == pytest.approx(golden["mask_px"], rel=0.02)
    inside = [mask[round(y), round(x)] for x, y in found.xy[0, [11, 12, 23, 24, 25, 26]]]
    assert all(inside), "shoulders, hips and knees lie in the silhouette"
    assert found.world_m is not None
    np.testing.assert_allclose(found.world_m[0], golden["world_m"], atol=0.02)
    thigh = np.linalg.norm(found.world_m[0, 23] - found.world_m[0, 25])
    assert 0.3 < thigh < 0.55


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
@pytest.mark.parametrize("weights_or_skip", ["heavy"], indirect=True)
def test_a_turned_picture_gives_turned_joints(weights_or_skip: str, quarter_turns: int) -> None:
    """The region turns with the person: lying or upside-down images give the same joints, and world axes turn."""
    image = walker()
    height, width = image.shape[:2]
    detector = make_detector(weights_or_skip, world=True)
    plain = detector.detect_image(image)  # type: ignore[attr-defined]
    turned = detector.detect_image(np.ascontiguousarray(np.rot90(image, quarter_turns)))  # type: ignore[attr-defined]
    x, y = turned.xy[0].T
    back = {1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}[quarter_turns]
    away = np.linalg.norm(np.stack(back, -1) - plain.xy[0], axis=-1)
    assert np.median(away) < 4 and away.max() < 12  # the person is about 480 px tall
    wx, wy, wz = turned.world_m[0].T
    world = {1: (-wy, wx, wz), 2: (-wx, -wy, wz), 3: (wy, -wx, wz)}[quarter_turns]
    assert np.median(np.linalg.norm(np.stack(world, -1) - plain.world_m[0], axis=-1)) < 0.05


@pytest.mark.parametrize("weights_or_skip", ["heavy"], indirect=True)
def test_small_person_is_found_by_tiles(weights_or_skip: str) -> None:
    """A person of an eighth of the image: too small for one look, found in tiles, the same joints."""
    image = walker()
    small = cv2.resize(image, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    canvas = np.full((1080, 1920, 3), 120, np.uint8)
    canvas[500 : 500 + small.shape[0], 1200 : 1200 + small.shape[1]] = small
    detector = make_detector(weights_or_skip)
    found = detector.detect_image(canvas)  # type: ignore[attr-defined]
    assert found.present[0]
    plain = detector.detect_image(image)  # type: ignore[attr-defined]
    away = np.linalg.norm((found.xy[0] - (1200, 500)) / 0.45 - plain.xy[0], axis=-1)
    assert np.median(away) < 8


@pytest.mark.parametrize("weights_or_skip", ["lite"], indirect=True)
def test_engine_says_nothing(weights_or_skip: str) -> None:
    """In a fresh process, where the engine would greet: both streams stay empty, but other lines pass."""
    code = (
        "import os, sportcore.keypoints2d.runtime as r\n"
        "from sportcore.keypoints2d import make_detector\n"
        f"make_detector({weights_or_skip!r}, num_threads=1)\n"
        "os.write(2, b'still there')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("", "still there")


@pytest.mark.parametrize("weights_or_skip", ["lite"], indirect=True)
def test_real_networks_see_nobody_in_noise(weights_or_skip: str) -> None:
    noise = np.random.default_rng(5).integers(0, 255, (360, 480, 3), dtype=np.uint8)
    found = make_detector(weights_or_skip).detect_image(noise)  # type: ignore[attr-defined]
    assert not found.present[0] and np.isnan(found.xy).all()


@pytest.mark.parametrize("weights_or_skip", ["lite"], indirect=True)
def test_networks_put_in_the_wrong_place_are_refused(weights_or_skip: str, tmp_path: Path) -> None:
    person, landmarks = weights.find("blazepose-person"), weights.find("blazepose-lite")
    with pytest.raises(WeightsError, match="not a BlazePose landmark network"):
        BlazePose("lite", landmarks_path=person, person_path=person)
    with pytest.raises(WeightsError, match="not BlazePose's person detector"):
        BlazePose("lite", landmarks_path=landmarks, person_path=landmarks)
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(landmarks.read_bytes()[:1000])
    with pytest.raises(SportcoreError, match=r"cut\.tflite"):
        BlazePose("lite", landmarks_path=cut, person_path=person)
