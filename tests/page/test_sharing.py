"""What is shared can be seen by whoever has the link, as it was then, and nothing else can be reached through it."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextgpt_core.conversation import Media, Message, Text
from nextgpt_core.page.store import shares
from nextgpt_core.page.store.library import Library, sweep
from nextgpt_core.page.talk.live import Chat
from nextgpt_core.page.words import WORDS
from tests.page.conftest import ask, press, serve
from tests.page.scripted import ScriptedModel
from tests.page.test_library import conversation


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


@pytest.fixture
def chat(library: Library) -> Chat:
    chat = library.new("v-one")
    chat.folder.mkdir(parents=True)
    written = conversation(chat.folder)
    chat.change(lambda _: written)
    return library.open("v-one", chat.conversation.id) or chat


def share(chat: Chat) -> str:
    return shares.share(chat.conversation, chat.folder, WORDS["en"])


def page_of(library: Library, token: str) -> str:
    return (shares.find(library.folder, token) / "page.html").read_text(encoding="utf-8")


def test_only_what_is_on_show_is_copied(library, chat):
    said = Message("user", (Text("a secret, taken back by an edit"),))
    chat.change(lambda c: c.asking(said).asking(Message("user", (Text("the better words"),)), beside=None))
    first = chat.conversation.turns[-2].id
    chat.change(lambda c: c.without(first).asking(said))
    chat.change(lambda c: c.asking(Message("user", (Text("in its place"),)), beside=c.leaf))
    token = share(chat)
    page, folder = page_of(library, token), shares.find(library.folder, token)
    assert "in its place" in page
    assert "secret" not in page
    assert "<script" not in page and "http" not in page
    named = {piece.split('"')[0] for piece in page.split('src="')[1:]}
    assert named == {file.name for file in folder.iterdir()} - {"page.html", "token"}


def test_what_is_said_later_is_not_shown(library, chat):
    token = share(chat)
    chat.change(lambda c: c.asking(Message("user", (Text("only for me"),))))
    assert "only for me" not in page_of(library, token)


def test_where_a_photo_was_taken_stays_behind(library, tmp_path):
    chat = library.new("v-one")
    chat.folder.mkdir(parents=True)
    noted = Image.Exif()
    noted[0x010E] = "at home"
    photo = chat.folder / "upload-photo.jpg"
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(photo, exif=noted)
    chat.change(lambda c: c.asking(Message("user", (Media("image", photo), Text("look")))))
    folder = shares.find(library.folder, share(chat))
    (copy,) = folder.glob("upload-*")
    assert b"at home" in photo.read_bytes()
    assert b"at home" not in copy.read_bytes()
    assert Image.open(copy).size == (48, 32)


@pytest.mark.parametrize("way", ["revoke", "again", "delete", "delete_all", "sweep"])
def test_a_link_leads_nowhere_once_it_is_taken_back(library, chat, way):
    token = share(chat)
    assert shares.find(library.folder, token) is not None
    if way == "revoke":
        shares.revoke(chat.folder)
    elif way == "again":
        assert shares.find(library.folder, share(chat)) is not None
    elif way == "delete":
        library.delete("v-one", chat.folder.name)
    elif way == "delete_all":
        library.delete_all("v-one")
    else:
        for old in (chat.folder, chat.folder.parent):
            os.utime(old, (time.time() - 9 * 86400,) * 2)
        sweep(library.folder)
        assert list(library.folder.glob("*.share")) == []
    assert shares.find(library.folder, token) is None


def test_a_link_holds_after_a_restart_and_a_sweep(library, chat):
    token = share(chat)
    sweep(library.folder)
    assert shares.find(Library(library.folder).folder, token) is not None


def status(address: str) -> int:
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def shared_link(tab) -> str:
    tab.once("dialog", lambda dialog: dialog.accept())
    press(tab, "share")
    return tab.locator("#keeping .shared a").evaluate("link => link.href")


def test_whoever_has_the_link_sees_a_copy_until_it_is_taken_back(tab, chromium, served):
    ask(tab, "<b>bold</b> a picture a clip and a sound")
    link = shared_link(tab)
    stranger = chromium.new_context()
    page = stranger.new_page()
    headers = page.goto(link).headers
    page.wait_for_function("document.querySelector('img').naturalWidth == 64")
    page.wait_for_function("document.querySelector('video').videoWidth == 64")
    page.wait_for_function("document.querySelector('audio').readyState >= 1")
    assert "<b>bold</b> a picture a clip and a sound" in page.locator(".user").inner_text()
    assert "at the latest 7 days after" in page.locator("header").inner_text()
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"]
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    picture = page.locator("img").evaluate("image => image.src")
    stranger.close()
    press(tab, "share")
    tab.wait_for_selector("#keeping .shared", state="detached")
    assert status(link) == status(picture) == 404


def test_nothing_else_is_reached_through_a_link(tab, served):
    ask(tab, "a picture of mine")
    tab.locator("#chat .made img").wait_for()
    link = shared_link(tab)
    picture = tab.locator("#chat .made img").get_attribute("src").split("/")[-1]
    assert status(link + picture) == 200
    others = [file for file in served.folder.rglob("*.png") if file.name != picture]
    names = ["token", "page.html", "conversation.json", "title.txt", "..%2Fconversation.json", "%2Fetc%2Fpasswd"]
    for name in [*names, *(file.name for file in others[:3])]:
        assert status(link + name) == 404, name
    token = link.rstrip("/").split("/")[-1]
    for guess in (token[:-1], token[:-1] + ("a" if token[-1] != "a" else "b"), "..", "%2e%2e", "a" * 43):
        assert status(f"{served.address}shared/{guess}/") == 404, guess


def test_where_there_is_a_login_only_who_is_logged_in_sees_what_is_shared(chromium, tmp_path):
    for private in serve(ScriptedModel(), tmp_path, login=[("ann", "secret")]):
        context = chromium.new_context(viewport={"width": 1100, "height": 900}, locale="en-US")
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.request.post(f"{private.address}login", form={"username": "ann", "password": "secret"})
        tab.goto(private.address)
        tab.wait_for_selector("#chat .card")
        ask(tab, "a picture")
        link = shared_link(tab)
        assert tab.request.get(link).status == 200
        context.close()
        assert status(link) == 401
