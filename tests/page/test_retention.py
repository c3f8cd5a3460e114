"""What is older than its time is deleted, and nothing else."""

from __future__ import annotations

import os
import time

from nextgpt_core.page.retention import sweep


def test_only_conversations_without_new_files_go(tmp_path):
    for name, age in (("old", 90.0), ("new", 10.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").write_bytes(b"x")
        os.utime(tmp_path / name, times=(time.time() - age,) * 2)
    (tmp_path / "loose.txt").write_text("not a conversation")
    sweep(tmp_path, kept=60.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loose.txt", "new"]
