"""Files in and out: cameras, 2D keypoints and 3D motion of sportcore and of the neighbouring tools.

Only this package converts units, axes and joint orders; everything inside is metres, Z up and joints by name.
See ``docs/formats.md`` for what is read and written, and for the trap of each format.
"""

from __future__ import annotations

from sportcore.io.atomic import (
    WriteError,
    atomic_folder,
    atomic_path,
    load_npz,
    read_json,
    remove_stale_temporaries,
    save_npz,
    write_bytes,
    write_json,
    write_text,
)
from sportcore.io.csv_tables import read_cameras_csv, read_keypoints_csv, write_cameras_csv, write_keypoints_csv
from sportcore.io.hashing import hash_arrays, hash_file, hash_json
from sportcore.io.keypoints import detect_keypoint_format, read_keypoints, write_keypoints
from sportcore.io.points3d import (
    ExportReport,
    Trajectories,
    fill_gaps,
    read_c3d,
    read_points3d_npz,
    read_points_csv,
    read_trc,
    write_c3d,
    write_points3d_npz,
    write_points_csv,
    write_trc,
)
from sportcore.io.rigs import RigFile, detect_rig_format, read_rig, read_rig_file, write_rig
from sportcore.io.toml import dump_toml, read_toml

__all__ = [
    "ExportReport",
    "RigFile",
    "Trajectories",
    "WriteError",
    "atomic_folder",
    "atomic_path",
    "detect_keypoint_format",
    "detect_rig_format",
    "dump_toml",
    "fill_gaps",
    "hash_arrays",
    "hash_file",
    "hash_json",
    "load_npz",
    "read_c3d",
    "read_cameras_csv",
    "read_json",
    "read_keypoints",
    "read_keypoints_csv",
    "read_points3d_npz",
    "read_points_csv",
    "read_rig",
    "read_rig_file",
    "read_toml",
    "read_trc",
    "remove_stale_temporaries",
    "save_npz",
    "write_bytes",
    "write_c3d",
    "write_cameras_csv",
    "write_json",
    "write_keypoints",
    "write_keypoints_csv",
    "write_points3d_npz",
    "write_points_csv",
    "write_rig",
    "write_text",
    "write_trc",
]
