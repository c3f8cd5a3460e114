"""What is stored of conversations: they come back as they were, to their visitor alone, and leave when they are old."""

from __future__ import annotations

import json
import os
import threading
import time
import types
from pathlib import Path

import pytest

from nextgpt_core.config import ConfigError
from nextgpt_core.conversation import ChatOptions, Media, MediaFailed, Message, Text
from nextgpt_core.page.store import records, visitors
from nextgpt_core.page.store.library import Library, sweep
from nextgpt_core.page.talk.reply import Reply
from nextgpt_core.page.talk.state import Conversation
from tests.page.scripted import ScriptedModel, make


def conversation(folder: Path) -> Conversation:
    """Two turns: an upload and a reply with a picture of two versions, a failed clip and a word; then one refused."""
    upload = Media("image", make("image", folder, {"height": 8, "width": 8}))
    asked = Message("user", (upload, Text("a picture and a clip")))
    model, reply = ScriptedModel(), Reply()
    for event in model.chat([asked], ChatOptions(out_dir=folder)):
        reply = reply.after(event, 0.0)
    reply = reply.after(MediaFailed(2, "audio", "No sounds here."), 0.0)
    for event in model.remake([asked, reply.message], 0, ChatOptions(out_dir=folder)):
        reply = reply.after(event, 0.0)
    built = Conversation("abcdefgh").asking(asked, reply)
    built = built.judged(built.leaf, "like").asking(Message("user", (Text("more"),)), Reply().ended("refused", "No."))
    return built.asking(asked, beside=built.leaf)


def test_a_conversation_comes_back_as_it_was(tmp_path):
    written = conversation(tmp_path)
    assert len(written.turns[0].reply.media[0].versions) == 2
    assert records.read(records.write(written), "abcdefgh", tmp_path) == written


def test_what_is_being_answered_is_stored_as_stopped(tmp_path):
    began = Conversation().asking(Message("user", (Text("hi"),)), Reply((Text("Well"),)))
    read = records.read(records.write(began), began.id, tmp_path)
    assert (read.turns[0].reply.ending, read.turns[0].reply.text) == ("stopped", "Well")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r["turns"][0]["asked"][0]["versions"][0].update(file="../secret.png"), "names the file"),
        (lambda r: r["turns"][0]["asked"][0]["versions"][0].update(file="gone.png"), "names the file"),
        (lambda r: r["turns"][0]["asked"][0].update(versions=[]), "without the file"),
        (lambda r: r["turns"][0]["reply"]["parts"][1].update(chosen=9), "without the file"),
        (lambda r: r["turns"][1].update(parent="nobody"), "follows none"),
        (lambda r: r["turns"][1].update(id=r["turns"][0]["id"]), "twice"),
        (lambda r: r.update(leaf="nobody"), "ends with a turn"),
        (lambda r: r.update(more=1), "unknown key"),
        (lambda r: r["turns"][0].update(feedback="<script>"), "expected one of"),
        (lambda r: r["turns"][0]["asked"][1].update(text=7), "expected a string"),
    ],
)
def test_a_record_that_is_not_ours_is_refused(tmp_path, change, complaint):
    record = json.loads(records.write(conversation(tmp_path)))
    change(record)
    with pytest.raises(ConfigError, match=complaint):
        records.read(json.dumps(record), "abcdefgh", tmp_path)


def test_a_conversation_survives_a_restart_for_its_own_visitor(tmp_path):
    chat = Library(tmp_path).new("v-one")
    chat.folder.mkdir(parents=True)
    written = conversation(chat.folder)
    chat.change(lambda _: written)
    again = Library(tmp_path)
    id = chat.conversation.id
    assert [entry.title for entry in again.list("v-one")] == ["a picture and a clip"]
    assert again.list("v-two") == []
    folder = chat.folder
    assert again.open("v-two", folder.name) is None
    assert again.open("v-one", "../v-one/" + folder.name) is None
    assert again.open("v-one", folder.name).conversation.turns == written.turns
    assert id == "abcdefgh"


def test_tabs_of_one_visitor_share_an_open_conversation(tmp_path):
    library = Library(tmp_path)
    chat = library.new("v-one")
    chat.change(lambda conversation: conversation.asking(Message("user", (Text("hi"),))))
    assert library.open("v-one", chat.conversation.id) is chat


def test_what_was_deleted_stays_deleted(tmp_path):
    library = Library(tmp_path)
    chat = library.new("v-one")
    chat.change(lambda conversation: conversation.asking(Message("user", (Text("hi"),))))
    library.delete("v-one", chat.conversation.id)
    chat.change(lambda conversation: conversation.asking(Message("user", (Text("late"),))))
    assert library.list("v-one") == []
    library.new("v-one").change(lambda conversation: conversation.asking(Message("user", (Text("hi"),))))
    library.delete_all("v-one")
    assert not (tmp_path / "v-one").exists()


def test_only_conversations_without_anything_new_go(tmp_path):
    for visitor, name, age in (("v-a", "old", 90.0), ("v-a", "new", 10.0), ("v-b", "old", 90.0)):
        (tmp_path / visitor / name).mkdir(parents=True)
        (tmp_path / visitor / name / "image.png").write_bytes(b"x")
        os.utime(tmp_path / visitor / name, times=(time.time() - age,) * 2)
    for visitor in ("v-a", "v-b"):
        os.utime(tmp_path / visitor, times=(time.time() - 90,) * 2)
    (tmp_path / "loose.txt").write_text("not a conversation")
    sweep(tmp_path, kept=60.0)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["loose.txt", "v-a", "v-a/new", "v-a/new/image.png"]


def test_branches_keep_every_version_with_what_followed_it():
    def said(text: str) -> Message:
        return Message("user", (Text(text),))

    done = Reply((Text("yes"),), "done")
    talk = Conversation().asking(said("one"), done).asking(said("two"), done).asking(said("three"), done)
    first, second, _ = (turn.id for turn in talk.turns)
    edited = talk.asking(said("two, other"), done, beside=second)
    assert [turn.asked.text for turn in edited.path] == ["one", "two, other"]
    assert [turn.asked.text for turn in edited.showing(second).path] == ["one", "two", "three"]
    back = edited.without(edited.leaf)
    assert [turn.asked.text for turn in back.path] == ["one", "two", "three"]
    assert back.without(first).turns == ()
    assert back.without(second).leaf == first


def test_a_visitor_is_known_by_a_secret_that_no_address_tells():
    def request(cookies: dict[str, str], username: str | None = None) -> types.SimpleNamespace:
        return types.SimpleNamespace(cookies=cookies, username=username)

    one, two = ({visitors.COOKIE: letter * 43} for letter in "ab")
    assert visitors.visitor(request(one)) == visitors.visitor(request(one))
    assert len({visitors.visitor(request(c, u)) for c in (one, two) for u in (None, "ann", "bob")}) == 6
    assert "a" * 43 not in visitors.visitor(request(one))
    assert visitors.visitor(request({})) == visitors.visitor(request({visitors.COOKIE: "../../etc"})) == ""


def test_nothing_is_written_twice_at_once(tmp_path):
    """An answer and a click may store at the same moment."""
    chat = Library(tmp_path).new("v-one")
    steps = [
        threading.Thread(target=chat.change, args=(lambda c: c.asking(Message("user", (Text("x"),))),))
        for _ in range(8)
    ]
    for step in steps:
        step.start()
    for step in steps:
        step.join()
    stored = Library(tmp_path).open("v-one", chat.conversation.id)
    assert len(stored.conversation.turns) == 8
