"""The demo: its table holds the figures that it promises, from a real run of the whole road."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from sportcore import demo
from sportcore.errors import SportcoreError


@pytest.mark.slow
def test_without_network_the_demo_is_synthetic_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise SportcoreError("pypi.org cannot be reached.")

    monkeypatch.setattr(demo, "_fetch", offline)
    monkeypatch.setattr(demo, "SYNTHETIC_FRAMES", 120)
    overrides = {"tune.iterations": 1, "finetune.epochs": 1, "finetune.clips_per_epoch": 32}
    result, text = demo.run_demo(tmp_path, overrides=overrides)
    assert result.usable
    assert "SYNTHETIC" in text and "cannot be reached" in text
    for word in ("median px", "median mm", "off by deg", "limb lengths vary", "before tuning", "PA-MPJPE", "Scale:"):
        assert word in text, word
    rows = [line.split() for line in text.splitlines() if line.startswith("cam0")]
    assert len(rows) == 4
    assert all(float(r[1]) < 4 and float(r[-2]) < 1.0 for r in rows)  # px; degrees from the truth
    again, _ = demo.run_demo(tmp_path, overrides=overrides)
    assert again.summary == result.summary
