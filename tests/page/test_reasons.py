"""Why something failed is said in the page's language: every reason that our code can give, and none besides."""

from __future__ import annotations

import ast
import copy
import importlib
import pickle
from pathlib import Path
from string import Formatter

import pytest

import nextgpt_core
from nextgpt_core import media, model
from nextgpt_core.conversation import MODALITIES, MediaFailed, Message, Sentence, Text
from nextgpt_core.media import kinds, streams
from nextgpt_core.page.show import view
from nextgpt_core.page.store import archive, records
from nextgpt_core.page.talk.reply import Reply
from nextgpt_core.page.talk.state import Conversation
from nextgpt_core.page.words import REASONS, WORDS, say

PACKAGE = Path(nextgpt_core.__file__).parent
GIVE = {"Sentence", "MediaError", "TooLongError", "ArchiveError"}  # what is called with a pattern
CHINESE = WORDS["zh"]


def patterns(file: Path) -> set[str]:
    """The patterns that a file's sentences are made of; an error that passes on a Sentence has none of its own."""
    module = ".".join(("nextgpt_core", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GIVE:
            given = node.args[0]
            if isinstance(given, ast.Attribute | ast.Subscript):  # error.sentence, or what the guard was told
                continue
            pattern = ast.unparse(given)
            found.add(eval(pattern, vars(importlib.import_module(module))))
    return found


def kinds_of_all() -> set[str]:
    """What the value `kind` can be, and that is not the same in every language."""
    table = [*kinds._MAGIC, *kinds._BRANDS, *(("", kind) for kind in kinds._CHUNKED.values())]
    names = {row[-1].name for row in table}
    strangers = {words for _, words in kinds._STRANGERS} | {kinds._TEXT, kinds._UNKNOWN, streams.UNKNOWN_CODEC}
    return {name for name in names if " " in name} | strangers | {*MODALITIES, *model.NAMES.values()}


def gaps(pattern: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}


def test_every_reason_that_reading_a_file_can_give_is_said_in_chinese():
    given = set().union(*(patterns(file) for file in (PACKAGE / "media").glob("*.py")))
    assert len(given) > 20
    assert given <= REASONS["zh"].keys()


def test_there_is_no_reason_more_and_none_less():
    sources = {
        file: file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py") if file.name != "conversation.py"
    }
    files = [file for file, source in sources.items() if any(f"{name}(" in source for name in GIVE)]
    given = set().union(*map(patterns, files))
    assert REASONS["zh"].keys() == given | kinds_of_all()
    assert {pattern: gaps(pattern) for pattern in given} == {pattern: gaps(REASONS["zh"][pattern]) for pattern in given}


def test_a_broken_upload_is_told_in_chinese_and_still_is_when_it_was_stored(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(media.MediaError, match="starts like JPEG") as raised:
        media.read_image(path)
    reply = Reply().after(
        MediaFailed(0, "video", Sentence("The {kind} could not be made. The log says why.", kind="video")), 0.0
    )
    talk = Conversation().asking(Message("user", (Text("hi"),)), reply.ended("refused", raised.value.sentence))
    for shown in (talk, records.read(records.write(talk), talk.id, tmp_path)):
        told = "".join(item["text"] for item in view.messages(shown, CHINESE)[-1]["content"])
        assert "photo.jpg 的开头像 JPEG，但文件已损坏或不完整。" in told
        assert "视频未能生成，原因见日志。" in told
        assert "视频未能生成" in archive.page(shown, CHINESE, str)
        told = "".join(item["text"] for item in view.messages(shown, WORDS["en"])[-1]["content"])
        assert "photo.jpg starts like JPEG, but it is damaged or was cut off." in told


def test_a_kind_is_said_in_chinese_and_a_files_name_never(tmp_path):
    path = tmp_path / "text"
    path.write_text("only words")
    with pytest.raises(media.MediaError) as raised:
        media.probe(path)
    assert say(raised.value.sentence, CHINESE).startswith("text 是文本；可接受的有图片")
    assert str(raised.value).startswith("text is text; accepted are pictures")


def test_what_nobody_has_words_for_stays_english():
    assert say("No sounds here.", CHINESE) == "No sounds here."
    assert say(Sentence("A {kind} of our own.", kind="text"), CHINESE) == "A text of our own."
    known = "{file} does not exist."
    for values in ({}, {"kind": "text"}):  # as somebody's hand may have written them into an export
        assert say(Sentence.rebuilt("<b>English</b>", known, values), CHINESE) == "<b>English</b>"
    assert Sentence.rebuilt("English", "{file.__class__:>99999999999}", {"file": 3}) == "English"


def test_a_reason_travels_whole_between_processes():
    error = media.MediaError("{file} does not exist.", file="{a}")
    for twin in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert str(twin) == "{a} does not exist."
        assert say(twin.sentence, CHINESE) == "{a} 不存在。"
