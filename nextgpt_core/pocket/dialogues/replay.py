"""Ordinary conversation, so that the language model stays one: its own answers, learned back.

The untouched model answers many questions that ask for no medium, some of them about pictures, films and sounds:
those of ordinary.txt, a line each, and more by a small grammar. Trained on those answers beside the dialogues, it
keeps its voice and learns when to make nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random

import torch
from tqdm import tqdm

from nextgpt_core.base_model import as_transformers
from nextgpt_core.conversation import Message, Text
from nextgpt_core.model import NextGPT
from nextgpt_core.pocket.captions import CaptionSampler, article
from nextgpt_core.pocket.dialogues.wordings import load_wordings, mentions_held_out, pairs

_TOPICS = (
    "the sea", "friendship", "gravity", "the moon", "football", "cooking rice", "the French Revolution",
    "computers", "volcanoes", "dreams", "trees", "music theory", "painting in watercolour", "film history", "sound waves",
    "how cameras work", "electric cars", "the human heart", "bread", "coffee", "chess", "rainbows", "winter", "the internet",
    "honey bees", "dinosaurs", "mathematics", "poetry", "happiness", "time management", "learning a language", "gardening",
    "Shakespeare", "the Roman Empire", "vaccines", "black holes", "the water cycle", "jazz", "recycling",
    "sleep", "yoga", "travelling alone", "job interviews", "saving money", "climate", "the alphabet", "robots", "atoms",
)  # fmt: skip
_ABOUT = (
    "What is {t}?", "Explain {t} to a child.", "Tell me about {t}.", "Write a short poem about {t}.", "Why is {t} important?",
    "Give me three facts about {t}.", "Write a sentence about {t}.", "What should I know about {t}?", "Tell me a story about {t}.",
    "Can you explain {t}?", "How did {t} begin?", "Is {t} interesting?", "What do people think about {t}?", "I like {t}. You?",
    "Suggest a title for an essay about {t}.", "Write an email to a friend about {t}.", "Describe {t} in one sentence.",
    "Write a song about {t}.", "Write a poem about {t} that rhymes.", "Write the lyrics of a song about {t}.", "Make up a joke about {t}.",
    "Invent a short fairy tale about {t}.", "Write a letter about {t}.", "Write two lines about {t}.", "Write a haiku about {t}.",
)  # fmt: skip
_PLACES = (
    "France", "Italy", "Spain", "Germany", "Japan", "China", "India", "Brazil", "Canada", "Egypt", "Kenya", "Australia", "Russia",
    "Mexico", "Greece", "Turkey", "Sweden", "Norway", "Poland", "Portugal", "Argentina", "Peru", "Thailand", "Vietnam", "Ireland",
)  # fmt: skip
_ABOUT_PLACES = (
    "What is the capital of {t}?", "Where is {t}?", "What language do people speak in {t}?", "What food is {t} known for?",
    "Name a city in {t}.", "Which continent is {t} on?", "What should I visit in {t}?", "Capital of {t}?",
)  # fmt: skip
_ABOUT_THINGS = (
    "What is {t}?", "How do I draw {t}?", "Tell me about {t}.", "What colour is {t}?", "How big is {t}?", "Where can I find {t}?",
    "What is {t} used for?", "Do you like {t}?", "Write a riddle about {t}.", "What do you call {t} in French?", "Is {t} dangerous?",
    "How do I take a good photo of {t}?", "Which film has {t} in it?", "Why does {t} make a sound?", "I saw {t} today.",
    "Write a song about {t}.", "Tell me a story about {t}.", "Write a short poem about {t}.", "Make up a joke about {t}.",
    "Write a lullaby in which {t} appears.", "Begin a story with {t}.",
)  # fmt: skip


_ANOTHER = re.compile(
    r"^\W*(?:I'm|I am) sorry for any|\bas an? (?:AI|artificial|chatbot|digital|virtual|language|text)|\bchatbot\b"
    r"|\b(?:an AI|helpful AI|designed to assist|unable to assist|SmolLM|Hugging Face)\b"
)


@cache
def ordinary() -> tuple[str, ...]:
    """What people ask of any chat; ordinary.txt, a line each."""
    return tuple((Path(__file__).parent / "ordinary.txt").read_text(encoding="utf-8").splitlines())


def questions(rng: Random, count: int) -> list[str]:
    """Different remarks and questions that ask for no medium, and name nothing that is held out."""
    captions, wordings = CaptionSampler(rng), load_wordings()
    asking = [words for words, _ in pairs(wordings, "question")]
    asked = dict.fromkeys((*ordinary(), *wordings["preamble"]))
    while len(asked) < count:
        kind, thing = rng.random(), article(captions.noun())
        if kind < 0.2:
            words = rng.choice(_ABOUT).format(t=rng.choice(_TOPICS))
        elif kind < 0.27:
            words = rng.choice(_ABOUT_PLACES).format(t=rng.choice(_PLACES))
        else:
            section = _ABOUT_THINGS if kind < 0.4 else wordings["remark"] if kind < 0.75 else asking
            words = rng.choice(section).format(t=thing)
        if not mentions_held_out(words):
            asked[words[0].upper() + words[1:] if rng.random() < 0.7 else words] = None
    return list(asked)[:count]


def answer(model: NextGPT, asked: Sequence[str], most_tokens: int = 80, batch: int = 64) -> Iterator[list[Message]]:
    """The model's own greedy answers; one that did not come to its end is cut at its last full sentence.

    Answers as the assistant that it was, which could make nothing, are left out.
    """
    tokenizer, stop = model.tokenizer, model.config.language_model.template.stop[0]
    stop_id = tokenizer.special_tokens[stop]
    stock = as_transformers(model.language_model.base)
    asked = sorted(asked, key=len)
    for start in tqdm(range(0, len(asked), batch), desc="answers", unit="batch"):
        some = asked[start : start + batch]
        prompts = [[i for s in model.renderer.render([Message("user", (Text(q),))]) for i in s.ids] for q in some]
        width = max(map(len, prompts))
        ids = torch.tensor([[stop_id] * (width - len(p)) + p for p in prompts], device=model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
        out = stock.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=most_tokens, do_sample=False, eos_token_id=stop_id,
            pad_token_id=stop_id, repetition_penalty=1.1,
        )  # fmt: skip
        for question, row in zip(some, out[:, width:].tolist(), strict=True):
            text = tokenizer.decode(row[: row.index(stop_id)] if stop_id in row else row).strip()
            if stop_id not in row:
                text = whole_sentences(text)
            if text and not speaks_as_another(text):
                yield [Message("user", (Text(question),)), Message("assistant", (Text(text),))]


def speaks_as_another(text: str) -> bool:
    """Whether an answer is given as the assistant that the model was, or begins with its ready-made excuses."""
    return _ANOTHER.search(text) is not None


def whole_sentences(text: str) -> str:
    """Less the sentence, or the number of a list's item, at which an answer was cut."""
    return re.sub(r"(?:^|\s*\n\s*)\d+\.$", "", text[: max(text.rfind(mark) for mark in ".!?") + 1])
