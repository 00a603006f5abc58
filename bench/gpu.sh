#!/usr/bin/env bash
# On a machine with an NVIDIA GPU and nvcc: builds with CUDA, runs the GPU tests, looks for memory errors, measures.
#   bench/gpu.sh [FOLDER]    results go to FOLDER (bench/results) as MACHINE.json (kernels, ceilings) and
#                            MACHINE-suite.json (pytest-benchmark)
#   PYTHON=...   another Python (3.10 or newer, with pip; torch with CUDA for the measurements)
#   WHEELS=...   a folder of wheels, for machines without a network. Filled elsewhere by
#                pip download -d FOLDER scikit-build-core pybind11 cmeel-eigen pytest pytest-benchmark hypothesis scipy \
#                  opencv-python-headless   (with --platform, --python-version and --only-binary=:all: as needed)
set -euo pipefail
cd "$(dirname "$0")/.."
SOURCE=$PWD
PYTHON=${PYTHON:-python3}
command -v nvcc >/dev/null || export PATH="/usr/local/cuda/bin:$PATH"
command -v nvcc >/dev/null || { echo "nvcc is not on PATH" >&2; exit 2; }
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
FOLDER=$(mkdir -p "${1:-bench/results}" && cd "${1:-bench/results}" && pwd)

WORK=${WORK:-/tmp/sportcore-gpu}
if [ ! -x "$WORK/venv/bin/python" ]; then
  "$PYTHON" -m venv --system-site-packages "$WORK/venv"
  # a Python that is itself a virtual environment hides its packages from the new one
  "$PYTHON" -c 'import site; print("\n".join(site.getsitepackages()))' > "$("$WORK/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/outer.pth"
fi
PY="$WORK/venv/bin/python"
FROM=(); if [ -n "${WHEELS:-}" ]; then FROM=(--no-index --find-links "$WHEELS"); fi
# the wheel is built in a folder of its own, so that the source tree stays as it is
"$PY" -m pip -q install "${FROM[@]}" "scikit-build-core>=0.10" "pybind11>=2.13" "cmeel-eigen>=3.4" \
  numpy scipy opencv-python-headless pytest pytest-benchmark hypothesis
command -v ninja >/dev/null || "$PY" -m pip -q install "${FROM[@]}" ninja
command -v cmake >/dev/null || "$PY" -m pip -q install "${FROM[@]}" cmake
SITE=$("$PY" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
CMAKE_PREFIX_PATH="$SITE/cmeel.prefix" CMAKE_ARGS="-DSPORTCORE_CUDA=ON" \
  "$PY" -m pip -q install "${FROM[@]}" --force-reinstall --no-deps --no-build-isolation -C build-dir="$WORK/build" .
cd "$WORK" && rm -rf tests bench && cp -r "$SOURCE/tests" "$SOURCE/bench" . # away from the sources: the installed package is imported
"$PY" -c 'from sportcore import _core; assert _core.built_with_cuda() and _core.cuda_device_count() > 0; print(_core.cuda_device_name())'
MACHINE=$("$PY" -c 'from sportcore import _core; print(_core.cuda_device_name().lower().replace(" ", "-"))')

TEST=(-m pytest -q -p no:cacheprovider -c /dev/null --rootdir . -o pythonpath=tests --import-mode=importlib)
FILES=()
for NAME in camera_models reproject triangulate triangulate_linear torch_ops skinning least_squares; do
  [ -f "tests/test_$NAME.py" ] && FILES+=("tests/test_$NAME.py")
done
FAILED=0
"$PY" "${TEST[@]}" "${FILES[@]}" || FAILED=1

"$PY" bench/gpu_report.py "$FOLDER/$MACHINE.json" || FAILED=1
"$PY" -m pytest -q -p no:cacheprovider -c /dev/null --rootdir . -o pythonpath=bench -o "python_files=bench_*.py" \
  -o "python_functions=bench_*" --import-mode=importlib --benchmark-only -k cuda --results "$FOLDER/$MACHINE-suite.json" \
  bench/bench_*.py || FAILED=1

if command -v compute-sanitizer >/dev/null; then
  for TOOL in memcheck racecheck initcheck; do
    compute-sanitizer --tool $TOOL --error-exitcode 9 "$PY" "${TEST[@]}" -x -k "cuda" "${FILES[@]}" || FAILED=1
  done
else
  echo "compute-sanitizer is not installed: memory checks left out" >&2
fi
echo "results in $FOLDER"
exit $FAILED
