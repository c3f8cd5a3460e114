"""What the server knows of a visitor's open tab, or of an API client, between two of its events."""

from __future__ import annotations

import asyncio

from nextgpt_core.page.show.received import Received
from nextgpt_core.page.talk.live import Chat


class Session:
    """One visitor's tab, or one API client.

    Gradio copies a State's first value for every session and then hands the same object to all of its events.
    """

    def __init__(self) -> None:
        self.visitor = ""  # whose conversations are open here; see `visitors`
        self.passing = False  # whether the browser sends no cookie
        self.chat: Chat | None = None
        self.language = "en"
        self.editing: str | None = None  # the turn whose question lies in the box
        self.received: dict[tuple[str, int], Received] = {}  # what the model got of an upload, where it is shown
        self.watched = False  # whether one of this tab's events already follows the answer
        self.turn = asyncio.Lock()  # held by the API call that is being answered
        self.calls = 0  # that one, and those that wait for it

    def __deepcopy__(self, memo: dict[int, object]) -> Session:
        return Session()
