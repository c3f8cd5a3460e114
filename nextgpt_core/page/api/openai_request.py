"""Reads the body of `/v1/chat/completions`: its parameters become the page's settings.

What a parameter asks for is done, changes nothing (a neutral value), or is refused by its name; none is passed over.
The messages are left to `openai_messages`, the answer to `openai_reply`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nextgpt_core.config import Config
from nextgpt_core.conversation import MODALITIES, ChatOptions, Message, Sampling
from nextgpt_core.page.api.calls import CallError
from nextgpt_core.page.api.openai_messages import messages, refuse, short
from nextgpt_core.page.settings import Settings

_READ = frozenset("model messages stream stream_options max_completion_tokens modalities prompt_cache_key".split())
# For bookkeeping on the side of whoever answers; the answer is the same without.
_WITHOUT_EFFECT = frozenset("user metadata store service_tier safety_identifier parallel_tool_calls".split())
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "stop": ([], ""),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
}


@dataclass(frozen=True)
class Asked:
    """One request: `longest` tokens at most; `usage` says whether a stream ends with the token counts."""

    messages: list[Message]
    options: ChatOptions
    longest: int
    stream: bool
    usage: bool


def read(body: bytes, folder: Path, config: Config, caller: str) -> Asked:
    """The request, its files written into `folder` and looked at; `caller` keeps callers' cached prefixes apart.

    Raises CallError (400 or 404) that names the place in the request.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        refuse("The body is not JSON.", code="invalid_json")
    if not isinstance(values, dict):
        refuse("The body is no JSON object.", code="invalid_json")
    settings = Settings(config)
    _check_names(values, config, settings)
    stream_options = values.get("stream_options") or {}
    if not isinstance(stream_options, dict):
        refuse(f"stream_options is {short(stream_options)}, expected an object.", "stream_options")
    options = _options(values, settings, folder, _scope(values, caller))
    sampling = _shortened(values, options.sampling or config.language_model.sampling)
    return Asked(
        messages(values.get("messages"), folder),
        replace(options, sampling=sampling),
        longest=sampling.max_tokens,
        stream=_flag(values, "stream"),
        usage=_flag(stream_options, "include_usage", "stream_options."),
    )


def _check_names(values: Mapping[str, Any], config: Config, settings: Settings) -> None:
    model = values.get("model")
    if model != config.name:
        message = f"There is no model {short(model)}; there is {config.name!r}."
        raise CallError(404 if isinstance(model, str) else 400, message, "model_not_found", "model")
    for name, value in values.items():
        if name in _READ or name in settings.defaults or name in _WITHOUT_EFFECT or value is None:
            continue
        if name not in _NEUTRAL:
            known = ", ".join((*sorted(_READ), *settings.defaults))
            refuse(f"There is no parameter {short(name)}; there are: {known}.", name, "unknown_parameter")
        if value not in _NEUTRAL[name]:
            allowed = " or ".join(json.dumps(neutral) for neutral in _NEUTRAL[name])
            refuse(f"{name} is {short(value)}; here it can only be {allowed}.", name, "unsupported_value")


def _options(values: Mapping[str, Any], settings: Settings, folder: Path, scope: str) -> ChatOptions:
    """The page's settings by their names. OpenAI's `modalities` is a list of what may come; the rest then never does.

    A setting such as `image` (auto, always or never) goes before it.
    """
    listed = values.get("modalities")
    if listed is not None and (not isinstance(listed, list) or not set(map(str, listed)) <= {"text", *MODALITIES}):
        refuse(f"modalities is {short(listed)}, expected a list of text, {', '.join(MODALITIES)}.", "modalities")
    chosen = {m: "never" for m in settings.modalities if listed is not None and m not in listed}
    chosen |= {name: values[name] for name in settings.defaults if values.get(name) is not None}
    chosen.pop("max_tokens", None)  # see `_shortened`
    try:
        return settings.options(chosen, folder, scope)
    except ValueError as error:
        name = str(error).split()[0]
        refuse(str(error), name if name in chosen else None)


def _shortened(values: Mapping[str, Any], sampling: Sampling) -> Sampling:
    """Programs ask for few tokens or very many; a reply is never longer than the profile's longest."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = values.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            refuse(f"{name} is {short(value)}, expected a whole number from 1 up.", name)
        return replace(sampling, max_tokens=min(value, sampling.max_tokens))
    return sampling


def _scope(values: Mapping[str, Any], caller: str) -> str:
    """Requests with one caller's `prompt_cache_key` share cached prefixes; those without share with nobody."""
    key = values.get("prompt_cache_key")
    if key is None:
        return secrets.token_hex(16)
    if not isinstance(key, str):
        refuse(f"prompt_cache_key is {short(key)}, expected a string.", "prompt_cache_key")
    return "call-" + hashlib.sha256(json.dumps([caller, key]).encode()).hexdigest()


def _flag(values: Mapping[str, Any], name: str, where: str = "") -> bool:
    value = values.get(name)
    if value is not None and not isinstance(value, bool):
        refuse(f"{where}{name} is {short(value)}, expected true or false.", where + name)
    return bool(value)
