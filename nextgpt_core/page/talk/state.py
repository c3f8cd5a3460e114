"""A conversation as the page keeps it: a tree of turns, of which one path is shown.

A message that is edited and a reply that is made again are new turns beside the old ones, each with a continuation of
its own, so nothing is lost. Everything here is a plain value on the server; the browser sees a view of it and is never
asked for it back. How it is stored is `library`'s business.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Literal

from nextgpt_core.conversation import Message
from nextgpt_core.page.talk.reply import Reply

Feedback = Literal["", "like", "dislike"]
_TITLE = 48  # characters


@dataclass(frozen=True)
class Turn:
    """A question and its reply, which is None until it begins; `parent` is the turn before it, None for a first."""

    id: str
    parent: str | None
    asked: Message
    reply: Reply | None = None
    feedback: Feedback = ""


@dataclass(frozen=True)
class Conversation:
    """`turns` are all that there ever were but for those undone, oldest first; `leaf` is the last one shown."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    turns: tuple[Turn, ...] = ()
    leaf: str | None = None

    @property
    def path(self) -> tuple[Turn, ...]:
        """The turns shown, from the first to the leaf."""
        path: list[Turn] = []
        at = self.leaf
        while at is not None:
            path.append(self.turn(at))
            at = path[-1].parent
        return tuple(reversed(path))

    @property
    def title(self) -> str:
        """The first words that somebody said."""
        words = next((words for turn in self.path if (words := " ".join(turn.asked.text.split()))), "")
        return words if len(words) <= _TITLE else words[:_TITLE].rstrip() + "…"

    def turn(self, id: str) -> Turn:
        """Raises StopIteration where there is none."""
        return next(turn for turn in self.turns if turn.id == id)

    def versions(self, id: str) -> tuple[Turn, ...]:
        """The turns that stand in one place, this one among them."""
        parent = self.turn(id).parent
        return tuple(turn for turn in self.turns if turn.parent == parent)

    def messages(self, before: str | None = None) -> list[Message]:
        """What the model reads: the turns before turn `before` that came to something, and that turn's question."""
        messages: list[Message] = []
        for turn in self.path:
            if turn.id == before:
                return [*messages, turn.asked]
            if turn.reply and turn.reply.ending in ("done", "stopped") and (said := turn.reply.message):
                messages += [turn.asked, said]
        return messages

    def asking(self, message: Message, reply: Reply | None = None, beside: str | None = None) -> Conversation:
        """With a new turn at the end, or in the place of turn `beside`, which becomes a version of it."""
        parent = self.turn(beside).parent if beside else self.leaf
        turn = Turn(secrets.token_urlsafe(6), parent, message, reply)
        return replace(self, turns=(*self.turns, turn), leaf=turn.id)

    def answered(self, id: str, reply: Reply) -> Conversation:
        return self._having(replace(self.turn(id), reply=reply))

    def judged(self, id: str, feedback: Feedback) -> Conversation:
        return self._having(replace(self.turn(id), feedback=feedback))

    def showing(self, id: str) -> Conversation:
        """Turn `id` and the newest of what followed it."""
        leaf = self.turn(id).id
        while followers := [turn.id for turn in self.turns if turn.parent == leaf]:
            leaf = followers[-1]
        return replace(self, leaf=leaf)

    def without(self, id: str) -> Conversation:
        """Without turn `id` and all that followed it; another version takes its place if there is one."""
        gone, others = {id}, [turn.id for turn in self.versions(id) if turn.id != id]
        for turn in self.turns:  # a turn stands behind the one that it follows
            if turn.parent in gone:
                gone.add(turn.id)
        left = tuple(turn for turn in self.turns if turn.id not in gone)
        left = replace(self, turns=left, leaf=self.turn(id).parent)
        return left.showing(others[-1]) if others else left

    def _having(self, turn: Turn) -> Conversation:
        return replace(self, turns=tuple(turn if known.id == turn.id else known for known in self.turns))
