"""Prompts that training never saw, replies in batches equal to replies alone, and a judge that misses nothing."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
import torch

from nextgpt_core import tokenizer
from nextgpt_core.conversation import MODALITIES, ChatOptions, Media, Message, Sampling, Text
from nextgpt_core.decoding import Decoding, PrefixCache, SignalRun
from nextgpt_core.evaluation import plain_text, replies, routing
from nextgpt_core.evaluation.matrix import SETS, Prompt, matrix_prompts
from nextgpt_core.evaluation.replies import greedy_replies, load_for_judging, load_untouched
from nextgpt_core.model import NextGPT
from nextgpt_core.outline import Outline
from nextgpt_core.pocket.captions import CaptionSampler
from nextgpt_core.pocket.dialogues import replay
from nextgpt_core.pocket.dialogues.wordings import held_out_names, load_wordings, mentions_held_out
from nextgpt_core.pocket.dialogues.writer import DialogueWriter
from nextgpt_core.signals import ReplyGrammar
from tests import tiny


@pytest.fixture(scope="module")
def said_in_training() -> list[str]:
    """What users say in a few thousand training conversations of every kind."""
    shown = {m: [(Path(f"{m}.bin"), f"a {m}")] for m in MODALITIES}
    writer = DialogueWriter(Random(0), CaptionSampler(Random(1)), shown)
    conversations = [write() for write in writer.kinds().values() for _ in range(400)]
    said = [m.text for messages in conversations for m in messages if m.role == "user" and m.text]
    return said + replay.questions(Random(2), 3000)


CONVERSATIONS = [[Message("user", (Text(text),))] for text in ("ab", "cd", "ef", "abcd", "hgfe", "abcdefg")]


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> NextGPT:
    """One that starts a picture wherever it would say its favourite letter."""
    model = load_for_judging(tiny_folder, "cpu")
    said = "".join(part for reply in greedy_replies(model, CONVERSATIONS, 30, media=False) for part in reply.parts)
    favourite = model.tokenizer.encode(max(set(said), key=said.count))[0]
    with torch.no_grad():
        model.language_model.signal_head[0] = 1.01 * model.language_model.base.lm_head.weight[favourite]
    return model


def normal(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def test_every_cell_is_asked_and_no_prompt_was_trained(said_in_training):
    prompts = matrix_prompts()
    assert len(prompts) == 1500
    assert {(p.shown, p.wanted) for p in prompts} == {(a, b) for a in SETS for b in SETS}
    assert all({m.modality for message in p.messages for m in message.media} == p.shown - {"text"} for p in prompts)
    assert all(bool(p.messages[-1].text) == ("text" in p.shown) for p in prompts)
    asked = {normal(p.messages[0].text) for p in prompts}
    assert not asked & {normal(text) for text in said_in_training}


def test_some_prompts_are_the_same_each_time():
    assert routing.some_prompts(2000) == matrix_prompts()
    assert routing.some_prompts(40) == routing.some_prompts(40)
    assert len(set(map(str, routing.some_prompts(40)))) == 40


def test_training_uses_no_held_out_wording_and_names_no_held_out_thing(said_in_training):
    assert len(held_out_names()) > 100
    assert not any(mentions_held_out(text) for text in said_in_training)
    seen, unseen = load_wordings(), load_wordings(held_out=True)
    asked_with = [use for use in seen if unseen[use] != seen[use]]
    assert {f"{m}.{use}" for m in MODALITIES for use in ("do", "say", "it", "like")} <= set(asked_with)
    assert not any(set(seen[use]) & set(unseen[use]) for use in asked_with)


def test_typed_requests_of_the_matrix_name_what_is_held_out():
    named = [p for p in matrix_prompts() if p.shown == {"text"} and p.wanted - {"text"}]
    assert all(mentions_held_out(p.messages[0].text) for p in named)


def test_own_words_stand_outside_the_grammar(said_in_training):
    prompts = routing.own_words()
    texts = [normal(p.messages[-1].text) for p in prompts]
    assert len(prompts) >= 220
    assert len(set(texts)) == len(texts)
    assert not set(texts) & {normal(text) for text in said_in_training}
    for words in {line.partition(" => ")[0] for lines in load_wordings().values() for line in lines}:
        slots = re.findall(r"{(\w)}", words)
        fixed = normal(re.sub(r"{\w}", " ", words))
        if set(slots) <= set("ctkx") and len(fixed.split()) >= 4:
            pattern = ".+".join(map(re.escape, map(normal, re.split(r"{\w}", words))))
            assert not [text for text in texts if re.fullmatch(pattern, text)], words


def test_own_words_are_read_with_files_and_earlier_turns():
    prompts = routing.own_words()
    assert all(p.wanted <= set(MODALITIES) for p in prompts)
    earlier = next(p for p in prompts if p.messages[-1].text == "bigger please, and in front of a sunset")
    assert earlier.messages[0] == Message("user", (Text("Draw a green parrot"),))
    made = (Text("Here is a picture of a green parrot."), Media("image", Path(), "a green parrot"))
    assert earlier.messages[1] == Message("assistant", made)
    both = next(p for p in prompts if p.messages[-1].text == "make one clip from these two")
    assert [m.modality for m in both.messages[0].media] == ["image", "audio"]
    assert all(m.path.is_file() for m in both.messages[0].media)


def test_replies_in_a_batch_equal_replies_alone(model):
    together = greedy_replies(model, CONVERSATIONS, most_tokens=30, batch=3)
    assert {modality for reply in together for modality in reply.media}, "no run to compare"
    assert len({len(reply.parts) for reply in together}) > 1
    assert together == [alone(model, messages, 30) for messages in CONVERSATIONS]
    silent = greedy_replies(model, CONVERSATIONS, most_tokens=30, media=False)
    assert not any(reply.media for reply in silent)


def test_the_judge_cuts_what_goes_round_in_circles_where_the_chat_does(model, monkeypatch, tmp_path):
    whole = greedy_replies(model, CONVERSATIONS, most_tokens=60)
    for module in (tokenizer, replies):
        monkeypatch.setattr(module, "in_circles", lambda text: len(text) >= 6)
    cut = greedy_replies(model, CONVERSATIONS, most_tokens=60)
    assert cut != whole
    assert any(reply.media and reply.parts[-1] not in MODALITIES for reply in cut), "no circle after a medium"
    assert [chat(model, messages, tmp_path) for messages in CONVERSATIONS] == cut


def test_the_judge_and_the_chat_hold_a_reply_to_its_list_alike(model, monkeypatch, tmp_path):
    def letters(reply: Outline) -> int:
        return sum(len(part) for part in reply.parts if part not in MODALITIES)

    second = "".join(reply.parts[0] for reply in greedy_replies(model, CONVERSATIONS, 30, media=False))[1]
    monkeypatch.setattr(model, "stop_ids", model.tokenizer.encode(second))
    early = [messages for messages in CONVERSATIONS if letters(chat(model, messages, tmp_path)) < 8]
    assert early, "no reply that stops early"

    monkeypatch.setattr(Outline, "owed", property(lambda reply: {"text"} if letters(reply) < 12 else frozenset()))
    held = greedy_replies(model, early, most_tokens=60)
    assert all(letters(reply) >= 12 for reply in held)
    for messages, reply in zip(early, held, strict=True):  # the chat's limit counts a run as one token
        assert "|".join(chat(model, messages, tmp_path).parts).startswith("|".join(reply.parts))

    monkeypatch.setattr(Outline, "owed", property(lambda reply: {"video"}))  # not waited for where it may not come
    never = dict.fromkeys(MODALITIES, "never")
    assert all(letters(chat(model, messages, tmp_path, wanted=never)) < 8 for messages in early)


def chat(model: NextGPT, messages: list[Message], out_dir: Path, **options: object) -> Outline:
    *_, done = model.chat(messages, ChatOptions(out_dir=out_dir, sampling=Sampling(max_tokens=60), **options))
    return Outline(tuple(part.text if isinstance(part, Text) else part.modality for part in done.message.parts))


def alone(model: NextGPT, messages: list[Message], most: int) -> Outline:
    """The same through the chat's own decoding loop, whose limit counts a run as one token."""
    segments = model.renderer.render(messages)
    keys = [token for segment in segments for token in segment.ids]
    decoding = Decoding(model.language_model, model.signals, PrefixCache(0))
    parts, said, fed = [], [], 0
    grammar, sampling = ReplyGrammar(model.signals, {}), Sampling(max_tokens=most)
    for item in decoding.run(keys, model.rows(segments), grammar, sampling, model.stop_ids, 0):
        if fed >= most:
            break
        if isinstance(item, SignalRun):
            parts += [model.tokenizer.decode(said), item.modality]
            said, fed = [], fed + len(model.signals.runs[item.modality])
        else:
            said, fed = [*said, item.id], fed + 1
    return Outline(tuple(filter(None, [*parts, model.tokenizer.decode(said)])))


def test_figures_count_hits_misses_and_unwanted_media(model, monkeypatch):
    text, image = frozenset({"text"}), frozenset({"image"})
    asked = (Message("user", (Text("a"),)),)
    matrix = [Prompt(asked, text, wanted) for wanted in (text, image, image, text | image)]
    own = [Prompt(asked, text, frozenset()), Prompt((*asked, *asked), text, image)]
    drawn = Outline(("Here is a picture of a dog.", "image"))
    replies = [drawn, drawn, Outline(("No.",)), drawn, Outline(("Yes.",)), drawn]
    monkeypatch.setattr(routing, "greedy_replies", lambda *_: replies)
    figures = routing.evaluate_routing(model, matrix, own)
    assert figures["matrix"] == 0.25
    assert figures["matrix_media"] == 0.5
    assert figures["own_words"] == figures["follow_ups"] == 1.0
    assert figures["unwanted_media"] == 0.5
    assert figures["lists_kept"] is None
    kept = Outline(("A picture, a sound: Here is a dog.", "image", " A bark.", "audio"))
    broken = Outline(("A picture, some words: Here is a picture of a dog.", "image"))
    replies[:] = [kept, broken, drawn, drawn, kept, kept]
    assert routing.evaluate_routing(model, matrix, own)["lists_kept"] == 0.75
    assert figures["cells"] == {"text": {"text": 0.0, "image": 0.5, "text+image": 0.0}}
    assert [miss["made"] for miss in figures["misses"]] == ["image", "text", "image"]


def test_perplexity_is_that_of_the_untouched_model_without_training(tiny_folder: Path):
    """With the adapter at rest and signals left out, the ratio is one; with the adapter it is not."""
    chat = [(Message("user", (Text("Hi"),)), Message("assistant", (Text("Good day to you."),)))]
    model, untouched = load_for_judging(tiny_folder, "cpu"), tiny.load(tiny_folder, training=True)
    own = plain_text.perplexity(model, chat, signals=False)
    assert own == pytest.approx(plain_text.perplexity(untouched, chat, signals=False), rel=1e-4)
    assert plain_text.perplexity(model, chat) > own
    for parameter in untouched.language_model.lora_parameters().values():
        parameter.data.zero_()
    at_rest = plain_text.perplexity(untouched, chat, signals=False)
    assert at_rest != pytest.approx(own, rel=1e-4)
    merged = load_untouched(tiny_folder, "cpu")
    assert plain_text.perplexity(merged, chat, signals=False) == pytest.approx(at_rest, rel=1e-4)
    with pytest.raises(RuntimeError, match="merged"):  # a LoRA in float32 does not go with a base in 16 bits
        merged.language_model.lora_parameters()
    expected = model.eval()(chat).text.exp().item()
    assert plain_text.perplexity(model, chat) == pytest.approx(expected, rel=1e-4)


def test_facts_are_judged_by_whole_words():
    assert plain_text.holds("It is Paris, of course.", ["paris"])
    assert not plain_text.holds("Comparison", ["paris"])
    assert plain_text.holds("8 legs", ["eight", "8"])
    assert len(plain_text.conversations()) >= 30
    assert len({prompt for prompt, _ in plain_text.facts()}) >= 30


def test_plain_text_is_never_trained(said_in_training):
    asked = {normal(messages[0].text) for messages in plain_text.conversations()}
    asked |= {normal(prompt) for prompt, _ in plain_text.facts()}
    assert not asked & {normal(text) for text in said_in_training}
