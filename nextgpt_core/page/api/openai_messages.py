"""Reads the messages of a chat completion: OpenAI's roles and content parts become ours.

Files come inside the request, as data: URLs or base64, and nothing is ever fetched. What a file is, its content says.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from nextgpt_core import media
from nextgpt_core.conversation import Media, Message, Modality, Text
from nextgpt_core.page.api.calls import MAX_FILES, MAX_TEXT, CallError

MAX_MESSAGES = 200

# Where a content part has its file, and what it shows where nobody looks inside (the assistant's own media).
_URL_PARTS: Mapping[str, Modality] = {"image_url": "image", "video_url": "video", "audio_url": "audio"}
_FILE_PARTS = (*_URL_PARTS, "input_audio", "file")


def messages(values: Any, folder: Path) -> list[Message]:
    """Neighbours of one role become one message; what a system message says opens the user's next one."""
    if not isinstance(values, list) or not values:
        refuse("messages is missing or empty; expected a list of {role, content}.", "messages")
    if len(values) > MAX_MESSAGES:
        refuse(f"There are {len(values)} messages; at most {MAX_MESSAGES} are read.", "messages")
    reader = _Reader(folder)
    messages: list[Message] = []
    told: list[str] = []  # by system messages, for the user's next
    for index, value in enumerate(values):
        where = f"messages[{index}]"
        if not isinstance(value, dict):
            refuse(f"{where} is {short(value)}, expected an object.", where)
        role = value.get("role")
        if role in ("system", "developer"):
            told.append(Message("user", tuple(reader.parts(value.get("content"), where, files=False))).text)
        elif role == "user":
            parts = reader.parts(value.get("content"), where)
            if not parts:
                refuse(f"{where} says nothing.", f"{where}.content")
            _append(messages, Message("user", (*(Text(f"{text}\n\n") for text in told), *parts)))
            told = []
        elif role == "assistant":
            if said := reader.said(value, where):
                _append(messages, Message("assistant", tuple(said)))
        else:
            refuse(f"{where}.role is {short(role)}, expected system, user or assistant.", f"{where}.role")
    if told or not messages or messages[-1].role != "user":
        refuse("The last message is not the user's, so there is nothing to answer.", "messages")
    return [_files_first(message) for message in messages]


def _files_first(message: Message) -> Message:
    """As on the page, and as the model was trained."""
    if message.role == "assistant":
        return message
    return replace(message, parts=(*message.media, *((Text(message.text),) if message.text else ())))


def _append(messages: list[Message], message: Message) -> None:
    if messages and messages[-1].role == message.role:
        between = (Text("\n"),) if messages[-1].text and message.text else ()
        messages[-1] = replace(messages[-1], parts=(*messages[-1].parts, *between, *message.parts))
    else:
        messages.append(message)


class _Reader:
    """Reads content parts, and counts what a request may have only so much of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.characters = self.files = 0

    def parts(self, content: Any, where: str, files: bool = True) -> list[Text | Media]:
        where += ".content"
        if content is None:
            return []
        if isinstance(content, str):
            return [self.text(content, where)] if content else []
        if not isinstance(content, list):
            refuse(f"{where} is {short(content)}, expected a string or a list of parts.", where)
        return [self.part(part, f"{where}[{index}]", files) for index, part in enumerate(content)]

    def part(self, part: Any, where: str, files: bool) -> Text | Media:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal"):
            return self.text(part.get(kind), where)
        if kind in _FILE_PARTS and files:
            return self.file(part, kind, where)
        known = ", ".join(("text", *_FILE_PARTS) if files else ("text",))
        refuse(f"{where} is of type {short(kind)}, expected {known}.", where)

    def text(self, text: Any, where: str) -> Text:
        if not isinstance(text, str):
            refuse(f"{where} is {short(text)}, expected text.", where)
        if not _is_unicode(text):
            refuse(f"{where} has half a surrogate pair, which is no text.", where)
        self.characters += len(text)
        if self.characters > MAX_TEXT:
            refuse(f"The messages hold over {MAX_TEXT} characters, which is the limit.", "messages")
        return Text(text)

    def file(self, part: Mapping[str, Any], kind: str, where: str) -> Media:
        self.files += 1
        if self.files > MAX_FILES:
            refuse(f"The messages hold over {MAX_FILES} files, which is the limit.", "messages")
        data = part.get(kind)
        if isinstance(data, dict):
            data = data.get({"input_audio": "data", "file": "file_data"}.get(kind, "url"))
        if not isinstance(data, str):
            refuse(f"{where} holds no file; expected it as a data: URL.", where)
        return take(data, self.folder, f"{where}.{kind}", bare=kind == "input_audio")

    def said(self, message: Mapping[str, Any], where: str) -> list[Text | Media]:
        """What the assistant said before. Of its media the model reads only that they stand there, never the file."""
        text = "".join(part.text for part in self.parts(message.get("content"), where, files=False))
        items = message.get("media") or []
        if not isinstance(items, list) or len(items) > MAX_FILES:
            refuse(f"{where}.media is no list of at most {MAX_FILES} parts.", f"{where}.media")
        parts: list[Text | Media] = []
        at = 0
        for item in items:
            modality = _URL_PARTS.get(item.get("type")) if isinstance(item, dict) else None
            if modality is None:
                refuse(f"{where}.media has {short(item)}, expected what an answer brought.", f"{where}.media")
            offset = item.get("offset")
            stand = min(len(text), max(at, offset)) if isinstance(offset, int) else len(text)
            parts += [Text(text[at:stand])] if stand > at else []
            parts.append(Media(modality, self.folder / "said", str(item.get("caption") or "")))
            at = stand
        return [*parts, Text(text[at:])] if text[at:] else parts


def take(data: str, folder: Path, where: str, bare: bool = False) -> Media:
    """Writes a data: URL (or with `bare` base64 alone) into `folder`, and finds out what it is. Raises CallError."""
    if data[:5].lower() == "data:":
        head, _, data = data.partition(",")
        if not head.lower().endswith(";base64"):
            refuse(f"{where} is no data: URL in base64, such as data:image/png;base64,iVBOR….", where)
    elif not bare:
        refuse(
            f"{where} is {short(data)}. Nothing is fetched here; send the file itself, as data:image/png;base64,….",
            where,
        )
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        refuse(f"{where} is not base64.", where)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{where}-{secrets.token_hex(4)}"  # an error about the file shows this name
    path.write_bytes(content)
    try:
        return Media(media.probe(path), path)
    except media.MediaError as error:
        raise CallError(400, str(error), "invalid_media", where) from error


def short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    text = text if _is_unicode(text) else json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half a surrogate pair
        return False
    return True


def refuse(message: str, param: str | None = None, code: str = "invalid_value") -> NoReturn:
    raise CallError(400, message, code, param)
