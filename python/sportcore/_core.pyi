"""
The C++ core of sportcore: cameras, reprojection, triangulation, calibration, skinning.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['CAMERA_PARAMETERS', 'Cameras', 'LmOptions', 'MAX_BONES_PER_VERTEX', 'MAX_VIEWS', 'ReprojectOptions', 'SkinOptions', 'SkinWeights', 'TriangulateOptions', 'adjust_bundle', 'average_rotations', 'built_with_cuda', 'calibrate_bodies', 'camera_rows', 'check_triangulate_options', 'cuda_device_count', 'cuda_device_name', 'essential_five_point', 'estimate_essential', 'estimate_pose', 'find_swaps', 'kernel_isa', 'loss', 'minimize', 'pose_three_point', 'project', 'project_at_f32', 'project_at_f64', 'project_backward_at_f32', 'project_backward_at_f64', 'project_jacobians', 'reproject', 'reproject_cuda_f32', 'reproject_cuda_f64', 'reproject_jacobians', 'reproject_residuals', 'require_cuda', 'resolve_threads', 'sampson_residual', 'select_frames', 'skin', 'skin_backward', 'skin_backward_cuda_f32', 'skin_backward_cuda_f64', 'skin_backward_host_f32', 'skin_backward_host_f64', 'skin_cuda_f32', 'skin_cuda_f64', 'skin_host_f32', 'skin_host_f64', 'so3_exp', 'so3_log', 'triangulate', 'triangulate_at_f32', 'triangulate_at_f64', 'triangulate_backward_at_f32', 'triangulate_backward_at_f64', 'triangulate_cuda_f32', 'triangulate_cuda_f64', 'triangulate_linear_at_f32', 'triangulate_linear_at_f64', 'triangulate_linear_backward_at_f32', 'triangulate_linear_backward_at_f64', 'unproject']
class Cameras:
    """
    The cameras of a rig as the kernels read them.
    """
    def __init__(self, model: typing.Annotated[numpy.typing.ArrayLike, numpy.int32], K: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], distortion: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], R: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], t: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> None:
        """
        model (C,) 0 pinhole, 1 brown, 2 fisheye; K (C, 3, 3) px; distortion (C, 8) zero-padded; R (C, 3, 3) and t (C, 3) cam_from_world, m.
        """
    def __len__(self) -> int:
        ...
class LmOptions:
    """
    Damping loop of Levenberg-Marquardt.
    """
    __hash__: typing.ClassVar[None] = None
    def __eq__(self, arg0: typing.Any) -> bool:
        ...
    def __init__(self, **kwargs) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, tuple[type, dict]]:
        ...
    def __repr__(self) -> str:
        ...
    def to_dict(self) -> dict:
        ...
    @property
    def cost_tolerance(self) -> float:
        ...
    @cost_tolerance.setter
    def cost_tolerance(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def gradient_tolerance(self) -> float:
        ...
    @gradient_tolerance.setter
    def gradient_tolerance(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def initial_damping(self) -> float:
        ...
    @initial_damping.setter
    def initial_damping(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def max_damping(self) -> float:
        ...
    @max_damping.setter
    def max_damping(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def max_iterations(self) -> int:
        ...
    @max_iterations.setter
    def max_iterations(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def min_damping(self) -> float:
        ...
    @min_damping.setter
    def min_damping(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def step_tolerance(self) -> float:
        ...
    @step_tolerance.setter
    def step_tolerance(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
class ReprojectOptions:
    """
    Threads and device of a reprojection.
    """
    __hash__: typing.ClassVar[None] = None
    def __eq__(self, arg0: typing.Any) -> bool:
        ...
    def __init__(self, **kwargs) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, tuple[type, dict]]:
        ...
    def __repr__(self) -> str:
        ...
    def to_dict(self) -> dict:
        ...
    @property
    def cuda(self) -> bool:
        """
        run on the first CUDA device
        """
    @cuda.setter
    def cuda(self, arg0: bool) -> None:
        ...
    @property
    def num_threads(self) -> int:
        """
        0: one per available core
        """
    @num_threads.setter
    def num_threads(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class SkinOptions:
    """
    Threads and device of skinning.
    """
    __hash__: typing.ClassVar[None] = None
    def __eq__(self, arg0: typing.Any) -> bool:
        ...
    def __init__(self, **kwargs) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, tuple[type, dict]]:
        ...
    def __repr__(self) -> str:
        ...
    def to_dict(self) -> dict:
        ...
    @property
    def cuda(self) -> bool:
        """
        run on the first CUDA device
        """
    @cuda.setter
    def cuda(self, arg0: bool) -> None:
        ...
    @property
    def num_threads(self) -> int:
        """
        0: one per available core
        """
    @num_threads.setter
    def num_threads(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class SkinWeights:
    """
    Which bones move which vertices; see sportcore.body.
    """
    @staticmethod
    def from_dense(weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], max_bones: typing.SupportsInt | typing.SupportsIndex = 0) -> SkinWeights:
        """
        weights (V, J); max_bones > 0 keeps the largest of each vertex, scaled to the old sum.
        """
    def __getstate__(self) -> tuple[numpy.ndarray, numpy.ndarray, int]:
        ...
    def __init__(self, bone_index: typing.Annotated[numpy.typing.ArrayLike, numpy.int32], weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], n_bones: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        bone_index and weight (V, K).
        """
    def __setstate__(self, arg0: tuple) -> None:
        ...
    @property
    def bone(self) -> numpy.ndarray:
        """
        (V, K) uint16
        """
    @property
    def bone_begin(self) -> numpy.ndarray:
        """
        (J + 1,) int64, where the entries of a bone begin in bone_entry
        """
    @property
    def bone_entry(self) -> numpy.ndarray:
        """
        (V K,) uint32: 16 * vertex + slot, by bone, then by vertex
        """
    @property
    def n_bones(self) -> int:
        ...
    @property
    def n_slots(self) -> int:
        """
        K, the bones of a vertex
        """
    @property
    def n_vertices(self) -> int:
        ...
    @property
    def weight(self) -> numpy.ndarray:
        """
        (V, K) float64
        """
class TriangulateOptions:
    """
    Options of triangulate; see sportcore.points3d.
    """
    __hash__: typing.ClassVar[None] = None
    cuda: bool
    estimate_sigma: bool
    loss: str
    robust: bool
    def __eq__(self, arg0: typing.Any) -> bool:
        ...
    def __init__(self, **kwargs) -> None:
        ...
    def __reduce__(self) -> tuple[typing.Any, tuple[type, dict]]:
        ...
    def __repr__(self) -> str:
        ...
    def to_dict(self) -> dict:
        ...
    @property
    def inlier_sigmas(self) -> float:
        ...
    @inlier_sigmas.setter
    def inlier_sigmas(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def loss_scale_sigmas(self) -> float:
        ...
    @loss_scale_sigmas.setter
    def loss_scale_sigmas(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def max_iterations(self) -> int:
        ...
    @max_iterations.setter
    def max_iterations(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def max_reprojection_error_px(self) -> float:
        ...
    @max_reprojection_error_px.setter
    def max_reprojection_error_px(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def min_angle_deg(self) -> float:
        ...
    @min_angle_deg.setter
    def min_angle_deg(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def min_score(self) -> float:
        ...
    @min_score.setter
    def min_score(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def min_views(self) -> int:
        ...
    @min_views.setter
    def min_views(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def num_threads(self) -> int:
        ...
    @num_threads.setter
    def num_threads(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def sigma_px(self) -> float:
        ...
    @sigma_px.setter
    def sigma_px(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
def _rebuild_options(cls: typing.Any, values: dict) -> typing.Any:
    ...
def adjust_bundle(cameras: Cameras, points_world_m: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], point_offset: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], camera: typing.Annotated[numpy.typing.ArrayLike, numpy.int32], xy_px: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], *, weight: typing.Any = None, loss: str = 'cauchy', loss_scale_px: typing.SupportsFloat | typing.SupportsIndex = 6.0, focal: str = 'none', max_iterations: typing.SupportsInt | typing.SupportsIndex = 50, cost_tolerance: typing.SupportsFloat | typing.SupportsIndex = 1e-12, step_tolerance: typing.SupportsFloat | typing.SupportsIndex = 1e-09, num_threads: typing.SupportsInt | typing.SupportsIndex = 0, cluster: typing.Any = None, sigma_px: typing.SupportsFloat | typing.SupportsIndex = 1.0, principal_point: bool = False, radial: bool = False, lengths: typing.Any = None, clocks: typing.Any = None) -> dict:
    """
    Robust bundle adjustment over observations in compressed rows (those of point p are point_offset[p] to point_offset[p + 1]); returns R, t, focal_px, points, covariance and the course of the iteration.
    """
def average_rotations(num_nodes: typing.SupportsInt | typing.SupportsIndex, edges: typing.Any, *, loss_scale: typing.SupportsFloat | typing.SupportsIndex = 3.0) -> dict:
    """
    Robust rotations (n, 3, 3) from edges (cameras (E, 2), second from first (E, 3, 3), deviation (E) rad).
    """
def built_with_cuda() -> bool:
    """
    True when this build holds the CUDA kernels.
    """
def calibrate_bodies(xy_px: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], cameras: Cameras, *, flip: typing.Any = None, max_reprojection_error_px: typing.SupportsFloat | typing.SupportsIndex = 20.0, max_frames: typing.SupportsInt | typing.SupportsIndex = 1000, max_start_frames: typing.SupportsInt | typing.SupportsIndex = 100, min_parallax_rad: typing.SupportsFloat | typing.SupportsIndex = 0.035, min_shared_points: typing.SupportsInt | typing.SupportsIndex = 30, focal: str = 'none', probe_focal: bool = False, undo_swaps: bool = True, num_threads: typing.SupportsInt | typing.SupportsIndex = 0, seed: typing.SupportsInt | typing.SupportsIndex = 0, bones: typing.Any = None, bone_pairs: typing.Any = None, principal_point: bool = False, radial: bool = False, focal_sigma: typing.SupportsFloat | typing.SupportsIndex = 0.0, principal_point_sigma_px: typing.SupportsFloat | typing.SupportsIndex = 0.0, radial_sigma: typing.SupportsFloat | typing.SupportsIndex = 0.0, clocks: bool = False, drift: bool = False, frame_s: typing.SupportsFloat | typing.SupportsIndex = 0.0, rotation_votes: typing.Any = None, sides: typing.Any = None) -> dict:
    """
    Camera poses from the keypoints (C, T, J, 2) px of a moving body, up to a similarity; see calibrate.h.
    """
def camera_rows(cameras: Cameras) -> tuple:
    """
    Rows of parameters (C, 24) and models (C,) of the cameras: fx fy cx cy, k1..k8, R row-major, t.
    """
def check_triangulate_options(options: TriangulateOptions) -> None:
    """
    Raise InputError when an option is out of its range.
    """
def cuda_device_count() -> int:
    """
    Number of usable CUDA devices (0 without a driver).
    """
def cuda_device_name(device: typing.SupportsInt | typing.SupportsIndex = 0) -> str:
    """
    Name of a CUDA device; raises DeviceError.
    """
def essential_five_point(x1: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], x2: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Essential matrices (n <= 10, 3, 3) of five normalised correspondences (5, 2).
    """
def estimate_essential(x1: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], x2: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], focal1_px: typing.SupportsFloat | typing.SupportsIndex, focal2_px: typing.SupportsFloat | typing.SupportsIndex, *, weight: typing.Any = None, max_residual_px: typing.SupportsFloat | typing.SupportsIndex = 8.0, seed: typing.SupportsInt | typing.SupportsIndex = 0) -> dict:
    """
    Robust relative pose (x2 = R x1 + t, |t| = 1) of two views from normalised points (N, 2).
    """
def estimate_pose(points_world_m: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], focal_px: typing.SupportsFloat | typing.SupportsIndex, *, weight: typing.Any = None, max_residual_px: typing.SupportsFloat | typing.SupportsIndex = 12.0, seed: typing.SupportsInt | typing.SupportsIndex = 0) -> dict:
    """
    Robust pose of a camera from points (N, 3) and their normalised images (N, 2).
    """
def find_swaps(xy_px: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], cameras: Cameras, flip: typing.Annotated[numpy.typing.ArrayLike, numpy.int32], threshold_px: typing.SupportsFloat | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex = 0, sides: typing.Any = None) -> numpy.typing.NDArray[numpy.bool]:
    """
    Flags (C, T) of camera-frames with left and right exchanged, given the cameras.
    """
def kernel_isa() -> str:
    """
    SIMD instruction set of the kernels in this process: avx512, avx2 or baseline. The environment variable SPORTCORE_ISA names a lesser one than the processor has.
    """
def loss(name: str, squared: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], scale: typing.SupportsFloat | typing.SupportsIndex = 1.0) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    rho(s) and rho'(s) of a robust loss at squared residuals s (N,).
    """
def minimize(residuals: collections.abc.Callable, jacobian: collections.abc.Callable, x0: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], loss: str = 'trivial', loss_scale: typing.SupportsFloat | typing.SupportsIndex = 1.0, block_size: typing.SupportsInt | typing.SupportsIndex = 1, options: LmOptions = ...) -> dict:
    """
    Minimise 1/2 sum rho(|r_i|^2) with residuals(x) -> (M,) and jacobian(x) -> (M, N). Returns x, covariance, converged, stop, iterations, initial_cost and cost.
    """
def pose_three_point(points_world_m: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Poses (n <= 4) of a camera from three points (3, 3) and images (3, 2).
    """
def project(cameras: Cameras, index: typing.SupportsInt | typing.SupportsIndex, points_cam_m: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Camera-frame points (N, 3) m -> (N, 2) px; NaN behind the camera.
    """
def project_at_f32(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], points: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, uv: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex, cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::project_rows on addresses.
    """
def project_at_f64(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], points: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, uv: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex, cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::project_rows on addresses.
    """
def project_backward_at_f32(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], points: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, grad_uv: typing.SupportsInt | typing.SupportsIndex, grad_points: typing.SupportsInt | typing.SupportsIndex, grad_cameras: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex, cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::project_backward on addresses.
    """
def project_backward_at_f64(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], points: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, grad_uv: typing.SupportsInt | typing.SupportsIndex, grad_points: typing.SupportsInt | typing.SupportsIndex, grad_cameras: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex, cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::project_backward on addresses.
    """
def project_jacobians(cameras: Cameras, index: typing.SupportsInt | typing.SupportsIndex, points_world_m: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    World points (N, 3) m -> uv (N, 2) px and its Jacobians by the point (N, 2, 3), by the pose increment R <- exp([w]x) R, t <- t + dt (N, 2, 6), by (fx, fy, cx, cy) (N, 2, 4), by the distortion (N, 2, 8).
    """
@typing.overload
def reproject(cameras: Cameras, points_world_m: numpy.typing.NDArray[numpy.float32], options: ReprojectOptions = ...) -> numpy.typing.NDArray[numpy.float32]:
    """
    World points (N, 3) m -> (C, N, 2) px, in the precision of the points; NaN behind a camera.
    """
@typing.overload
def reproject(cameras: Cameras, points_world_m: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], options: ReprojectOptions = ...) -> numpy.typing.NDArray[numpy.float64]:
    """
    World points (N, 3) m -> (C, N, 2) px, in the precision of the points; NaN behind a camera.
    """
def reproject_cuda_f32(cameras: Cameras, points: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, uv: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    The same on CUDA memory: pointers, number of points and stream as integers.
    """
def reproject_cuda_f64(cameras: Cameras, points: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, uv: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    The same on CUDA memory: pointers, number of points and stream as integers.
    """
@typing.overload
def reproject_jacobians(cameras: Cameras, points_world_m: numpy.typing.NDArray[numpy.float32], options: ReprojectOptions = ...) -> tuple:
    """
    uv (C, N, 2) px and its Jacobians by the point (C, N, 2, 3) and by the pose increment (w, dt) (C, N, 2, 6), in the precision of the points.
    """
@typing.overload
def reproject_jacobians(cameras: Cameras, points_world_m: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], options: ReprojectOptions = ...) -> tuple:
    """
    uv (C, N, 2) px and its Jacobians by the point (C, N, 2, 3) and by the pose increment (w, dt) (C, N, 2, 6), in the precision of the points.
    """
@typing.overload
def reproject_residuals(cameras: Cameras, points_world_m: numpy.typing.NDArray[numpy.float32], observed_px: numpy.typing.NDArray[numpy.float32], options: ReprojectOptions = ...) -> numpy.typing.NDArray[numpy.float32]:
    """
    Projection minus observed_px (C, N, 2), px; NaN where either is missing.
    """
@typing.overload
def reproject_residuals(cameras: Cameras, points_world_m: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], observed_px: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], options: ReprojectOptions = ...) -> numpy.typing.NDArray[numpy.float64]:
    """
    Projection minus observed_px (C, N, 2), px; NaN where either is missing.
    """
def require_cuda() -> None:
    """
    Raise DeviceError, with the remedy, unless CUDA can be used.
    """
def resolve_threads(num_threads: typing.SupportsInt | typing.SupportsIndex = 0) -> int:
    """
    Threads that a request stands for: 0 is one per available core.
    """
def sampson_residual(R: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], t: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], x1: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], x2: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], focal1_px: typing.SupportsFloat | typing.SupportsIndex, focal2_px: typing.SupportsFloat | typing.SupportsIndex) -> tuple[float, numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Sampson distance (px), its Jacobian (5,) and the tangent basis (2, 3) of t.
    """
def select_frames(xy_px: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], max_frames: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.int32]:
    """
    Frames spread evenly over time and over the distance that the joints moved.
    """
@typing.overload
def skin(weights: SkinWeights, vertices: numpy.typing.NDArray[numpy.float32], transforms: numpy.typing.NDArray[numpy.float32], weight: numpy.typing.NDArray[numpy.float32] | None = None, options: SkinOptions = ...) -> numpy.typing.NDArray[numpy.float32]:
    """
    vertices (V, 3) or (B, V, 3) and transforms (B, J, 3, 4) -> (B, V, 3), in their precision; weight (V, K) takes the place of the values of weights.
    """
@typing.overload
def skin(weights: SkinWeights, vertices: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], transforms: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None = None, options: SkinOptions = ...) -> numpy.typing.NDArray[numpy.float64]:
    """
    vertices (V, 3) or (B, V, 3) and transforms (B, J, 3, 4) -> (B, V, 3), in their precision; weight (V, K) takes the place of the values of weights.
    """
@typing.overload
def skin_backward(weights: SkinWeights, vertices: numpy.typing.NDArray[numpy.float32], transforms: numpy.typing.NDArray[numpy.float32], grad_out: numpy.typing.NDArray[numpy.float32], weight: numpy.typing.NDArray[numpy.float32] | None = None, options: SkinOptions = ...) -> tuple:
    """
    Gradients by vertices, transforms and weight (V, K) of a scalar whose gradient by the output of skin is grad_out (B, V, 3).
    """
@typing.overload
def skin_backward(weights: SkinWeights, vertices: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], transforms: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], grad_out: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None = None, options: SkinOptions = ...) -> tuple:
    """
    Gradients by vertices, transforms and weight (V, K) of a scalar whose gradient by the output of skin is grad_out (B, V, 3).
    """
def skin_backward_cuda_f32(weights: SkinWeights, bone: typing.SupportsInt | typing.SupportsIndex, bone_begin: typing.SupportsInt | typing.SupportsIndex, bone_entry: typing.SupportsInt | typing.SupportsIndex, vertices: typing.SupportsInt | typing.SupportsIndex, per_frame: bool, transforms: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, grad_out: typing.SupportsInt | typing.SupportsIndex, grad_vertices: typing.SupportsInt | typing.SupportsIndex, grad_transforms: typing.SupportsInt | typing.SupportsIndex, grad_weight: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    skin on CUDA memory: pointers and stream as integers, 0 where there is no such array; bone, bone_begin and bone_entry are copies of those of weights.
    """
def skin_backward_cuda_f64(weights: SkinWeights, bone: typing.SupportsInt | typing.SupportsIndex, bone_begin: typing.SupportsInt | typing.SupportsIndex, bone_entry: typing.SupportsInt | typing.SupportsIndex, vertices: typing.SupportsInt | typing.SupportsIndex, per_frame: bool, transforms: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, grad_out: typing.SupportsInt | typing.SupportsIndex, grad_vertices: typing.SupportsInt | typing.SupportsIndex, grad_transforms: typing.SupportsInt | typing.SupportsIndex, grad_weight: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    skin on CUDA memory: pointers and stream as integers, 0 where there is no such array; bone, bone_begin and bone_entry are copies of those of weights.
    """
def skin_backward_host_f32(weights: SkinWeights, vertices: typing.SupportsInt | typing.SupportsIndex, per_frame: bool, transforms: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, grad_out: typing.SupportsInt | typing.SupportsIndex, grad_vertices: typing.SupportsInt | typing.SupportsIndex, grad_transforms: typing.SupportsInt | typing.SupportsIndex, grad_weight: typing.SupportsInt | typing.SupportsIndex, options: SkinOptions) -> None:
    """
    skin on host memory: pointers as integers, 0 where there is no such array.
    """
def skin_backward_host_f64(weights: SkinWeights, vertices: typing.SupportsInt | typing.SupportsIndex, per_frame: bool, transforms: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, grad_out: typing.SupportsInt | typing.SupportsIndex, grad_vertices: typing.SupportsInt | typing.SupportsIndex, grad_transforms: typing.SupportsInt | typing.SupportsIndex, grad_weight: typing.SupportsInt | typing.SupportsIndex, options: SkinOptions) -> None:
    """
    skin on host memory: pointers as integers, 0 where there is no such array.
    """
def skin_cuda_f32(weights: SkinWeights, bone: typing.SupportsInt | typing.SupportsIndex, vertices: typing.SupportsInt | typing.SupportsIndex, per_frame: bool, transforms: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    skin on CUDA memory: pointers and stream as integers, 0 where there is no such array; bone, bone_begin and bone_entry are copies of those of weights.
    """
def skin_cuda_f64(weights: SkinWeights, bone: typing.SupportsInt | typing.SupportsIndex, vertices: typing.SupportsInt | typing.SupportsIndex, per_frame: bool, transforms: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    skin on CUDA memory: pointers and stream as integers, 0 where there is no such array; bone, bone_begin and bone_entry are copies of those of weights.
    """
def skin_host_f32(weights: SkinWeights, vertices: typing.SupportsInt | typing.SupportsIndex, per_frame: bool, transforms: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, options: SkinOptions) -> None:
    """
    skin on host memory: pointers as integers, 0 where there is no such array.
    """
def skin_host_f64(weights: SkinWeights, vertices: typing.SupportsInt | typing.SupportsIndex, per_frame: bool, transforms: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, options: SkinOptions) -> None:
    """
    skin on host memory: pointers as integers, 0 where there is no such array.
    """
def so3_exp(w: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Rotation (3, 3) of the axis-angle vector w (3,) rad.
    """
def so3_log(R: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Axis-angle vector (3,) rad of the rotation R (3, 3).
    """
@typing.overload
def triangulate(cameras: Cameras, keypoints_px: numpy.typing.NDArray[numpy.float32], score: numpy.typing.NDArray[numpy.float32] | None = None, sigma_px: numpy.typing.NDArray[numpy.float32] | None = None, options: TriangulateOptions = ..., with_covariance: bool = True, with_residuals: bool = True) -> dict:
    """
    keypoints_px (C, N, 2), NaN where missing; score and sigma_px (C, N) or None. Returns a dict of xyz (N, 3) m, status (N,), n_views (N,), covariance (N, 3, 3) m^2, residual_px (C, N), inlier (C, N) and sigma_px, on which the covariance stands.
    """
@typing.overload
def triangulate(cameras: Cameras, keypoints_px: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], score: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None = None, sigma_px: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None = None, options: TriangulateOptions = ..., with_covariance: bool = True, with_residuals: bool = True) -> dict:
    """
    keypoints_px (C, N, 2), NaN where missing; score and sigma_px (C, N) or None. Returns a dict of xyz (N, 3) m, status (N,), n_views (N,), covariance (N, 3, 3) m^2, residual_px (C, N), inlier (C, N) and sigma_px, on which the covariance stands.
    """
def triangulate_at_f32(cameras: Cameras, keypoints: typing.SupportsInt | typing.SupportsIndex, score: typing.SupportsInt | typing.SupportsIndex, sigma: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, xyz: typing.SupportsInt | typing.SupportsIndex, status: typing.SupportsInt | typing.SupportsIndex, covariance: typing.SupportsInt | typing.SupportsIndex, residual: typing.SupportsInt | typing.SupportsIndex, inlier: typing.SupportsInt | typing.SupportsIndex, n_views: typing.SupportsInt | typing.SupportsIndex, options: ..., cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> float:
    """
    sportcore::triangulate on addresses.
    """
def triangulate_at_f64(cameras: Cameras, keypoints: typing.SupportsInt | typing.SupportsIndex, score: typing.SupportsInt | typing.SupportsIndex, sigma: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, xyz: typing.SupportsInt | typing.SupportsIndex, status: typing.SupportsInt | typing.SupportsIndex, covariance: typing.SupportsInt | typing.SupportsIndex, residual: typing.SupportsInt | typing.SupportsIndex, inlier: typing.SupportsInt | typing.SupportsIndex, n_views: typing.SupportsInt | typing.SupportsIndex, options: ..., cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> float:
    """
    sportcore::triangulate on addresses.
    """
def triangulate_backward_at_f32(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keypoints: typing.SupportsInt | typing.SupportsIndex, sigma: typing.SupportsInt | typing.SupportsIndex, xyz: typing.SupportsInt | typing.SupportsIndex, inlier: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, grad_xyz: typing.SupportsInt | typing.SupportsIndex, grad_keypoints: typing.SupportsInt | typing.SupportsIndex, grad_sigma: typing.SupportsInt | typing.SupportsIndex, options: ..., cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::triangulate_backward on addresses.
    """
def triangulate_backward_at_f64(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keypoints: typing.SupportsInt | typing.SupportsIndex, sigma: typing.SupportsInt | typing.SupportsIndex, xyz: typing.SupportsInt | typing.SupportsIndex, inlier: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, grad_xyz: typing.SupportsInt | typing.SupportsIndex, grad_keypoints: typing.SupportsInt | typing.SupportsIndex, grad_sigma: typing.SupportsInt | typing.SupportsIndex, options: ..., cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::triangulate_backward on addresses.
    """
def triangulate_cuda_f32(cameras: Cameras, n: typing.SupportsInt | typing.SupportsIndex, keypoints: typing.SupportsInt | typing.SupportsIndex, score: typing.SupportsInt | typing.SupportsIndex, sigma: typing.SupportsInt | typing.SupportsIndex, xyz: typing.SupportsInt | typing.SupportsIndex, status: typing.SupportsInt | typing.SupportsIndex, covariance: typing.SupportsInt | typing.SupportsIndex, residual: typing.SupportsInt | typing.SupportsIndex, inlier: typing.SupportsInt | typing.SupportsIndex, n_views: typing.SupportsInt | typing.SupportsIndex, options: TriangulateOptions, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    triangulate on CUDA memory: pointers and stream as integers, 0 where there is no such array.
    """
def triangulate_cuda_f64(cameras: Cameras, n: typing.SupportsInt | typing.SupportsIndex, keypoints: typing.SupportsInt | typing.SupportsIndex, score: typing.SupportsInt | typing.SupportsIndex, sigma: typing.SupportsInt | typing.SupportsIndex, xyz: typing.SupportsInt | typing.SupportsIndex, status: typing.SupportsInt | typing.SupportsIndex, covariance: typing.SupportsInt | typing.SupportsIndex, residual: typing.SupportsInt | typing.SupportsIndex, inlier: typing.SupportsInt | typing.SupportsIndex, n_views: typing.SupportsInt | typing.SupportsIndex, options: TriangulateOptions, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    triangulate on CUDA memory: pointers and stream as integers, 0 where there is no such array.
    """
def triangulate_linear_at_f32(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keypoints: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, xyz: typing.SupportsInt | typing.SupportsIndex, iterations: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex, cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::triangulate_linear on addresses.
    """
def triangulate_linear_at_f64(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keypoints: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, xyz: typing.SupportsInt | typing.SupportsIndex, iterations: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex, cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::triangulate_linear on addresses.
    """
def triangulate_linear_backward_at_f32(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keypoints: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, grad_xyz: typing.SupportsInt | typing.SupportsIndex, grad_keypoints: typing.SupportsInt | typing.SupportsIndex, grad_weight: typing.SupportsInt | typing.SupportsIndex, grad_cameras: typing.SupportsInt | typing.SupportsIndex, iterations: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex, cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::triangulate_linear_backward on addresses.
    """
def triangulate_linear_backward_at_f64(cameras: typing.SupportsInt | typing.SupportsIndex, models: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keypoints: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, grad_xyz: typing.SupportsInt | typing.SupportsIndex, grad_keypoints: typing.SupportsInt | typing.SupportsIndex, grad_weight: typing.SupportsInt | typing.SupportsIndex, grad_cameras: typing.SupportsInt | typing.SupportsIndex, iterations: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex, cuda: bool, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    sportcore::triangulate_linear_backward on addresses.
    """
def unproject(cameras: Cameras, index: typing.SupportsInt | typing.SupportsIndex, xy_px: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> numpy.typing.NDArray[numpy.float64]:
    """
    Pixels (N, 2) -> normalised coordinates (X/Z, Y/Z) (N, 2); NaN where the model has no inverse.
    """
CAMERA_PARAMETERS: int = 24
MAX_BONES_PER_VERTEX: int = 16
MAX_VIEWS: int = 64
__version__: str = '0.1.0'
