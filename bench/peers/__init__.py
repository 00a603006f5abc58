"""Body-based calibration against its peers: ``python bench/peers/run.py --help``."""
