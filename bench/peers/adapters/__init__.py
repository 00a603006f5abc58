"""One file per method. Each is imported in a process of its own, with the interpreter that has the method.

A module has

- ``SETTINGS``: name -> dict of what :func:`solve` is told; ``"defaults"`` is what the tool does by itself;
- ``prepare(scene) -> data``: conversion into the tool's own types, not timed;
- ``solve(data, **setting) -> (R (C, 3, 3), t (C, 3))``: the timed call, ``x_cam = R x_world + t``;
- ``REFUSALS``: exception types by which the tool says on purpose that it cannot;
- ``DISTRIBUTION``: name on PyPI.

``scene`` is a dict of arrays, see :func:`peers.scenes.save_input`. It is a fresh copy for each call.
"""
