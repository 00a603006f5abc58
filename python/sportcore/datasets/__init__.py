"""Data sets: motion for training, virtual cameras that look at it, and readers of published recordings.

Import the submodule that you need (``sportcore.datasets.mocap``, ``sportcore.datasets.virtual``, ...); nothing is
loaded or downloaded here.
"""
