"""What is fetched and rendered is rendered once."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from nextgpt_core.pocket import sources


def test_of_two_that_want_the_sprites_at_once_one_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def render(folder: Path, processes: int) -> None:
        rendered.append(folder)
        time.sleep(0.2)
        np.save(folder / "sprites.npy", np.zeros((1, 2, 2, 4), np.uint8))
        (folder / "sprites.json").write_text(json.dumps([["apple", "noto"]]), encoding="utf-8")

    monkeypatch.setattr(sources, "_render_sprites", render)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(sources.build_sprites, [tmp_path / "new"] * 2))
    assert len(rendered) == 1
    assert all(sprites.rows == {("apple", "noto"): 0} for sprites in both)
