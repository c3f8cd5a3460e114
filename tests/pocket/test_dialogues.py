"""The grammar keeps its promises: runs follow what they show, talk makes nothing, and no slot stays open."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from nextgpt_core.conversation import MODALITIES, Media, Message, Text
from nextgpt_core.evaluation import plain_text, routing
from nextgpt_core.outline import Outline
from nextgpt_core.pocket.captions import CaptionSampler, article
from nextgpt_core.pocket.catalog import load_catalog
from nextgpt_core.pocket.dialogues import answers, replay, shown
from nextgpt_core.pocket.dialogues.people import IT, load_people
from nextgpt_core.pocket.dialogues.requests import RequestWriter
from nextgpt_core.pocket.dialogues.subjects import recoloured
from nextgpt_core.pocket.dialogues.wordings import load_facts, load_wordings, mentions_held_out, pairs
from nextgpt_core.pocket.dialogues.writer import DialogueWriter
from nextgpt_core.pocket.layouts import MOVES
from nextgpt_core.pocket.motion_phrases import briefly
from nextgpt_core.pocket.scenes import sprite_hues
from tests.pocket.worlds import disc_sprites

COUNT = 300


@pytest.fixture(scope="module")
def written() -> dict[str, list[list[Message]]]:
    files = {m: [(Path(f"{m}.bin"), f"a {m}")] for m in MODALITIES}
    writer = DialogueWriter(Random(0), CaptionSampler(Random(1)), files)
    return {name: [write() for _ in range(COUNT)] for name, write in writer.kinds().items()}


def test_every_run_follows_a_sentence_that_says_what_it_shows(written):
    for messages in [m for some in written.values() for m in some]:
        assert messages[-1].role == "assistant"
        for message in messages:
            for before, part in zip(message.parts, message.parts[1:], strict=False):
                if message.role == "assistant" and isinstance(part, Media):
                    assert isinstance(before, Text)
                    assert before.text.endswith(f"{part.caption}."), before.text


def test_what_consists_of_several_begins_with_a_list_of_it(written):
    dog, barks = ("image", "a dog"), [("audio", "a dog"), ("audio", "a puppy")]

    def text(wishes, *words) -> str:
        return answers.made(None, wishes, *words).text

    picture, sounds = (
        "Here is a picture of a dog.",
        " And here is the sound of a dog. And here is the sound of a puppy.",
    )
    assert text([dog]) == picture
    assert text([], "Dogs bark.") == "Dogs bark."
    assert text([dog, *barks]) == f"A picture, two sounds: {picture}{sounds}"
    assert text([dog], "Dogs bark.", True) == f"Some words, a picture: Dogs bark. {picture}"
    assert text([dog, *barks], "Dogs bark.") == f"A picture, two sounds, some words: {picture}{sounds} Dogs bark."
    replies = [m for some in written.values() for c in some for m in c if m.role == "assistant" and m.media]
    assert all(len(reply.media) < 2 or ": " in reply.text for reply in replies)


def test_the_judge_reads_the_lists_that_training_writes(written):
    listed = 0
    for message in [m for some in written.values() for c in some for m in c if m.role == "assistant" and m.media]:
        parts = tuple(part.text if isinstance(part, Text) else part.modality for part in message.parts)
        reply = Outline(parts)
        listed += bool(reply.listed)
        assert reply.listed - {"text"} in (set(reply.media), set())
        assert bool(reply.listed) or len(reply.media) == 1, parts
    assert listed > COUNT


def test_replayed_answers_end_with_a_sentence():
    assert replay.whole_sentences("Try this. Or th") == "Try this."
    assert replay.whole_sentences("1. Lions.\n2. Bears.\n3.") == "1. Lions.\n2. Bears."
    assert replay.whole_sentences("It was in 1990.") == "It was in 1990."
    assert replay.whole_sentences("no end") == ""


def test_replayed_answers_do_not_speak_as_another_assistant():
    assert replay.speaks_as_another("I'm sorry for any misunderstanding. I can help.")
    assert replay.speaks_as_another("As an AI, I can't see pictures.")
    assert not replay.speaks_as_another("AIR is what we breathe; a chair is a chair.")


def test_words_about_files_come_where_they_are_asked_for():
    ask = RequestWriter(Random(0), {**load_wordings(), "image.it": ("draw it",), "describe.it": ("name it",)})
    asked = [ask.clauses(["image"], words=True) for _ in range(40)]
    assert {first for _, first in asked} == {True, False}
    assert all((words.index("name it") < words.index("draw it")) == first for words, first in asked)
    writer = DialogueWriter(Random(0), CaptionSampler(Random(1)), {"image": [(Path("a.png"), "a dog")]})
    for write in (writer.about_files, writer.announced):
        told = [write()[-1].parts for _ in range(200)]
        both = [parts for parts in told if any(isinstance(p, Media) for p in parts) and "words" in parts[0].text]
        assert len({isinstance(parts[-1], Text) for parts in both}) == 2
        for parts in both:
            assert bool(re.match(r"(Sure! |Of course\. )?Some words", parts[0].text)) != isinstance(parts[-1], Text), (
                parts
            )


def test_a_wish_of_the_same_thing_again_may_only_point_at_it():
    ask = RequestWriter(Random(0), {**load_wordings(), "video.it": ("animate it",), "audio.it": ("play its sound",)})
    wishes = [("image", "a red apple"), ("video", "a red apple"), ("audio", "rain falling")]
    said = [ask.of_each(wishes) for _ in range(300)]
    assert 0.3 < sum("animate it" in words.lower() for words in said) / len(said) < 0.6
    assert not any("play its sound" in words for words in said), "rain was not named before"
    assert all("rain falling" in words.lower() for words in said)


def test_several_wishes_are_of_one_thing_of_two_or_each_of_its_own(written):
    captions = [[m.caption for m in c[-1].media] for c in written["several"] if len(c[-1].media) == 3]
    assert {1, 2, 3} == {len(set(some)) for some in captions}
    assert all(some[0] == some[1] for some in captions if len(set(some)) == 2)


def test_a_colour_comes_after_the_article():
    said = [recoloured(thing, "red") for thing in ("the moon", "a cat", "an owl", "two dogs", "a blue car", "rain")]
    assert said == ["the red moon", "a red cat", "a red owl", "two red dogs", "a red car", "red rain"]
    assert recoloured("a car", "orange") == "an orange car"


def test_what_comes_next_was_not_there_before(written):
    texts = {line.lower() for m in MODALITIES for line in load_wordings()[f"{m}.next"]}
    for messages in written["follow_up"]:
        for before, asked, reply in zip(messages, messages[1:], messages[2:], strict=False):
            if asked.role == "user" and asked.text.lower().rstrip(".!") in texts and len(before.media) < 3:
                assert not {m.modality for m in reply.media} & {m.modality for m in before.media}, asked.text


def test_who_asks_for_words_only_is_told_a_fact(written):
    assert all("{t}" in line for use in ("told", "defined") for line in load_wordings()[use])
    facts = {sentence for known in load_facts().values() for sentence in known}
    told = [c for c in written["talk"] if c[-1].text in facts]
    assert len(told) > COUNT // 10
    assert not any(message.media for c in told for message in c)
    wanted_then = [c for c in written["follow_up"] if c[1].text in facts]
    assert wanted_then
    assert all(c[3].media for c in wanted_then)


def test_who_asks_what_a_thing_is_is_told_that_beside_its_media(written):
    definitions = {known.definition for known in load_facts().values()}
    defined = [c for c in written["words"] if any(one in c[-1].text for one in definitions)]
    assert COUNT // 4 < len(defined) < COUNT
    asked = [c for c in written["words"] if re.match(r"what is (a|an) [\w ]+\? ", c[0].text.lower())]
    assert asked
    assert all(c in defined for c in asked)


def test_no_slot_stays_open(written):
    texts = [m.text for some in written.values() for messages in some for m in messages]
    assert not [text for text in texts if "{" in text or "}" in text or "=>" in text]
    slots = dict.fromkeys("cnNtabdrlkx", "x")
    for wordings in (load_wordings(), load_wordings(held_out=True)):
        assert all(line.format(**slots) for lines in wordings.values() for line in lines)
    for use in ("able", "hello", "cannot", "critique", "enough", "seen.enough", "heard.enough", "question", "write"):
        assert all(answer for _, answer in pairs(load_wordings(), use)), use


def test_kinds_make_what_they_are_for(written):
    made = {name: [tuple(m.modality for m in c[-1].media) for c in some] for name, some in written.items()}
    assert set(map(len, made["single"])) == set(map(len, made["captions"])) == {1}
    assert set(map(len, made["several"])) == {2, 3}
    assert len({frozenset(media) for media in made["several"]}) == 4 + 3, (
        "all sets of two and three, and twice the same"
    )
    assert not any(made["talk"])
    assert any(made["announced"]) and not all(made["announced"])
    assert all(not c[2].text and c[2].media for c in written["announced"])
    turns = Counter(len(c) for c in written["follow_up"])
    assert min(turns) >= 4
    words = [c[-1].text for c in written["words"]]
    assert all(any(one in text for known in load_facts().values() for one in known) for text in words)


def test_the_same_seed_writes_the_same(written):
    files = {m: [(Path(f"{m}.bin"), f"a {m}")] for m in MODALITIES}
    again = DialogueWriter(Random(0), CaptionSampler(Random(1)), files).kinds()["captions"]
    assert [again() for _ in range(20)] == written["captions"][:20]


def test_requests_vary(written):
    said = [c[0].text for name in ("single", "several") for c in written[name]]
    assert len(set(said)) > 0.98 * len(said)


def test_a_tenth_of_labelled_files_is_not_shown(tmp_path):
    labels = [{"file": f"{i}.ogg", "label": "owl"} for i in range(20)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)), encoding="utf-8")
    files = shown.labelled(tmp_path)
    assert len(files) == 18
    assert files[0] == (tmp_path / "0.ogg", "an owl")
    assert not {path.name for path, _ in files} & {"7.ogg", "17.ogg"}
    assert shown.labelled(None) == []


def test_drawn_files_show_one_thing_and_say_what_can_be_seen(tmp_path, monkeypatch):
    sprites = disc_sprites()
    monkeypatch.setattr(shown, "open_sprites", lambda _: (sprites, sprite_hues(sprites)))
    names = {article(concept.name) for concept in load_catalog()}
    pictures, clips = (shown.drawn(modality, tmp_path, tmp_path, 3) for modality in ("image", "video"))
    assert all((tmp_path / path).is_file() for path, _ in (*pictures, *clips))
    assert {caption for _, caption in pictures} <= names
    motions = [briefly(*move) for move in MOVES]
    assert all(any(caption.endswith(f" {words}") for words in motions) for _, caption in clips)
    assert all(any(caption.startswith(name) for name in names) for _, caption in clips)
    stamps = [(tmp_path / path).stat().st_mtime_ns for path, _ in pictures]
    assert shown.drawn("image", tmp_path, tmp_path, 3) == pictures  # what is there is not drawn again
    assert [(tmp_path / path).stat().st_mtime_ns for path, _ in pictures] == stamps


def test_what_people_say_is_answered_with_what_they_want(written):
    by_prompt = {said.prompt: said for said in load_people()}
    assert len(by_prompt) == len(load_people()) > 600
    for request, reply in written["people"]:
        said = by_prompt[request.text]
        assert tuple(m.modality for m in request.media) == said.shown
        assert [m.modality for m in reply.media] == [modality for modality, _ in said.wishes]
        assert all(
            m.caption == caption or (caption == IT and all(f"a {shown}" in m.caption for shown in said.shown))
            for m, (_, caption) in zip(reply.media, said.wishes, strict=True)
        )
        promises = re.findall(r"ere is (?:a picture of|a video of|the sound of) ", reply.text)
        assert len(promises) == len(said.wishes)
        if said.shown:
            assert bool(re.search(r"This (is|picture|video|sounds)|I see|I can hear", reply.text)) == said.told
        assert not said.words or said.words in reply.text
    combinations = {(said.shown, frozenset(m for m, _ in said.wishes), said.told) for said in load_people()}
    assert len({shown for shown, *_ in combinations}) >= 8
    assert len({(media, told) for _, media, told in combinations}) == 15


def test_no_held_out_wording_is_among_what_people_say():
    def plain(text: str) -> str:
        return " ".join(re.findall(r"[a-z0-9']+", text.lower()))

    seen, unseen = load_wordings(), load_wordings(held_out=True)
    lines = [line.partition(" => ")[0] for use in seen for line in set(unseen[use]) - set(seen[use])]
    held_out = {plain(line) for line in lines if "{" not in line}
    assert len(held_out) > 40
    assert not held_out & {plain(said.prompt) for said in load_people()}


def test_the_examination_is_not_among_what_people_say():
    """Neither its prompts nor near copies of them, and none of the names that it alone uses."""

    def words(text: str) -> set[str]:
        return set(re.findall(r"[a-z0-9']+", text.lower()))

    examined = [words(prompt.messages[-1].text) for prompt in routing.own_words()]
    examined += [words(messages[0].text) for messages in plain_text.conversations()]
    examined += [words(question) for question, _ in plain_text.facts()]
    assert len(examined) > 280
    lines = [line.partition(" => ")[0] for lines in load_wordings().values() for line in lines]
    whole = [line for line in lines if "{" not in line and len(words(line)) > 3]
    for said in (*(said.prompt for said in load_people()), *replay.ordinary(), *whole):
        asked = words(said)
        assert not any(len(asked & other) > 0.6 * len(asked | other) for other in examined), said
    for said in load_people():
        assert not mentions_held_out(" ".join([said.prompt, said.words, *(caption for _, caption in said.wishes)]))
