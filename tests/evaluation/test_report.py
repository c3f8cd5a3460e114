"""The whole evaluation runs where decoders and files are missing, and its page shows what there is, escaped."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from nextgpt_core import checkpoint
from nextgpt_core.conversation import MODALITIES, ChatOptions, Media, Message, Text
from nextgpt_core.evaluation import plain_text, report, routing, understanding
from nextgpt_core.evaluation.alignment import REQUESTS, SCORES, condition, evaluate_alignment
from nextgpt_core.evaluation.matrix import matrix_prompts
from nextgpt_core.evaluation.replies import load_for_judging
from nextgpt_core.evaluation.report import Report, Sources, evaluate_all
from nextgpt_core.evaluation.sheet import write_sheet
from nextgpt_core.media import write_image
from nextgpt_core.model import NextGPT


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> NextGPT:
    return load_for_judging(tiny_folder, "cpu")


@pytest.fixture(scope="module")
def without_decoders(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> NextGPT:
    folder = tmp_path_factory.mktemp("without")
    values = json.loads((tiny_folder / "config.json").read_text(encoding="utf-8"))
    values["decoders"] = {}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    for name in ("language_model", checkpoint.TRAINED):
        (folder / name).symlink_to(tiny_folder / name)
    return load_for_judging(folder, "cpu")


def test_what_cannot_be_judged_is_none_with_its_reason(without_decoders, tmp_path, monkeypatch):
    seen = [p for p in matrix_prompts() if p.shown <= {"text", "image"}]  # the tiny encoder reads pictures only
    prompts, own = Random(0).sample(seen, 6), routing.own_words()[:3]
    judge = routing.evaluate_routing
    monkeypatch.setattr(report.routing, "evaluate_routing", lambda model, _: judge(model, prompts, own))
    for name in ("conversations", "facts"):
        few = getattr(plain_text, name)()[:2]
        monkeypatch.setattr(plain_text, name, lambda few=few: few)
    found = evaluate_all(without_decoders, Sources(tmp_path / "no data", tmp_path))
    figures = json.loads(json.dumps(found.figures))
    assert figures["alignment"] == dict.fromkeys(MODALITIES)
    assert figures["understanding"] == dict.fromkeys(("photos", "scenes", "motion", "sounds"))
    assert len(figures["not_judged"]) == 7
    assert figures["not_judged"]["alignment.video"] == "tiny has no video decoder."
    assert "--photos DIR" in figures["not_judged"]["understanding.photos"]
    assert figures["text"]["perplexity_ratio"] > 0
    assert figures["text"]["unwanted_media"] == figures["routing"]["unwanted_media"]
    assert found.examples == {}
    write_sheet(found, tmp_path / "report.html")
    assert "tiny has no video decoder." in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_request_reaches_the_decoder_as_in_chat(model, tmp_path, monkeypatch):
    given = []
    decoder = model.decoder("image")
    generate = decoder.generate
    monkeypatch.setattr(decoder, "generate", lambda embeds, *rest: given.append(embeds) or generate(embeds, *rest))
    asked = Message("user", (Text(REQUESTS["image"].format(c="a cat")),))
    wanted = {"image": "always", "video": "never", "audio": "never"}
    list(model.chat([asked], ChatOptions(seed=0, wanted=wanted, out_dir=tmp_path)))
    assert len(given) == 1
    assert torch.allclose(condition(model, "image", "a cat"), given[0], atol=1e-4)


def test_the_gap_is_the_ratio_of_the_same_judges_scores(model):
    decoder = model.decoder("image")
    straight = decoder.embed_text(["a cat", "a dog"])

    def judge(judged):
        equal = torch.equal(judged.embed_text(["a cat", "a dog"]), straight)
        assert judged.prompt_shape == decoder.prompt_shape
        score = 0.5 if equal else 0.4
        names = [name.split(".") for name in SCORES["image"]]
        return {group: {figure: score for other, figure in names if other == group} for group, _ in names}

    found = evaluate_alignment(model, "image", decoder, judge)
    assert (found["ratio"], found["straight"], found["through"]) == (0.8, 0.5, 0.4)
    assert set(found["figures"]) == set(SCORES["image"])


def test_held_out_files_are_a_tenth_and_answers_are_judged_by_name(model, tmp_path):
    labels = [{"file": f"{i}.png", "class_index": i, "label": f"thing{i}" if i != 27 else "red fox"} for i in range(30)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)), encoding="utf-8")
    shown = understanding.held_out_files(tmp_path, "image")
    assert [item.media.path.name for item in shown] == ["7.png", "17.png", "27.png"]
    assert shown[2].accepted == {"red", "fox"}
    for item in shown:
        Image.new("RGB", (8, 8), "red").save(item.media.path)
    figures = understanding.evaluate_understanding(model, shown)
    assert figures["count"] == len(figures["answers"]) == 3
    assert figures["named"] == sum(a["named"] for a in figures["answers"]) / 3
    assert understanding.names("Two foxes? No, a fox.", {"fox"})
    assert understanding.names("Some cats.", {"cat"})
    assert not understanding.names("A boxer.", {"box"})


def test_the_page_shows_media_and_escapes_words(tmp_path):
    picture = tmp_path / "a.png"
    write_image(np.zeros((4, 4, 3), np.uint8), picture, {})
    evil = "<script>alert(1)</script>"
    answer = {"file": str(picture), "name": evil, "answer": evil, "named": False}
    plain = {"prompt": evil, "answer": evil, "right": True, "untouched": evil, "untouched_right": False}
    figures = {
        "checkpoint": evil,
        "routing": {
            **dict.fromkeys(("matrix", "matrix_media", "own_words", "follow_ups", "unwanted_media"), 0.5),
            "prompts": {"matrix": 2, "own_words": 1},
            "cells": {"text": {"image": 1.0, "text+image": 0.0}},
            "own_words_by_wanted": {"image": None},
            "misses": [{"prompt": evil, "wanted": "image", "made": "text", "reply": evil}],
        },
        "alignment": {"image": {"ratio": 0.9}, "video": None},
        "understanding": {"photos": {"named": 0.0, "answers": [answer]}, "scenes": None},
        "text": {"perplexity_ratio": 1.01, "facts": 0.5, "facts_untouched": 0.6, "answers": [plain]},
        "not_judged": {"alignment.video": evil},
    }
    item = Media("image", picture)
    write_sheet(Report(figures, {"image": [(evil, item, item)]}), tmp_path / "out" / "report.html")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert page.count("data:image/png;base64,") == 3
    assert "hsl(120," in page and "hsl(0," in page
    assert "http" not in page.replace("http-equiv", ""), "the page needs nothing else"
