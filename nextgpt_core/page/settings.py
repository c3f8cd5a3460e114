"""The settings panel: one control for everything that the loaded decoders and the language model let one choose.

What the checkpoint has no decoder for has no control. The same names and limits hold for the API's `options`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from nextgpt_core.config import Config
from nextgpt_core.conversation import MODALITIES, ChatOptions, Modality, Wanted
from nextgpt_core.page.talk.costs import Costs

_WANTED: tuple[Wanted, ...] = ("auto", "always", "never")
_MOST_SEED = 2**31 - 1
_FRESH = 0.7  # temperature
_SIDE = 32  # px; every decoder here takes sides that are multiples of it


@dataclass(frozen=True)
class Control:
    """`setting` is a decoder's own name where `modality` is given, else one of `Sampling`'s or "seed"."""

    setting: str
    default: float
    low: float
    high: float
    step: float
    modality: Modality | None = None

    @property
    def name(self) -> str:
        return f"{self.modality}_{self.setting}" if self.modality else self.setting


class Settings:
    def __init__(self, config: Config) -> None:
        self._decoders = config.decoders
        self.modalities = tuple(modality for modality in MODALITIES if modality in config.decoders)
        self.decoding = [
            control
            for modality in self.modalities
            for name, value in config.decoders[modality].settings.items()
            if (control := _control(modality, name, value)) is not None
        ]
        sampling = config.language_model.sampling
        self._sampling = sampling
        self.speech = [
            Control("temperature", sampling.temperature, 0.0, 1.5, 0.1),
            Control("top_p", sampling.top_p, 0.05, 1.0, 0.05),
            Control("max_tokens", sampling.max_tokens, 16, sampling.max_tokens, 1),
        ]

    @property
    def defaults(self) -> dict[str, Any]:
        values: dict[str, Any] = dict.fromkeys(self.modalities, "auto")
        values |= {control.name: control.default for control in (*self.decoding, *self.speech)}
        return {**values, "seed": None}

    def components(self, t: gr.I18n) -> tuple[list[gr.components.Component], list[gr.HTML]]:
        """Builds the panel: its controls in the order of `defaults`, and for each modality the line of what it takes.

        `t` gives a label in the visitor's language.
        """
        built: dict[str, gr.components.Component] = {}
        estimates: list[gr.HTML] = []
        choices = [(t(wanted), wanted) for wanted in _WANTED]
        for modality in self.modalities:
            with gr.Group(elem_classes="settings"):
                built[modality] = gr.Radio(
                    choices, value="auto", label=t(f"wanted_{modality}"), elem_id=f"wanted-{modality}"
                )
                for control in self.decoding:
                    if control.modality == modality:
                        built[control.name] = _slider(control, t)
                estimates.append(gr.HTML(elem_id=f"estimate-{modality}", elem_classes="estimate"))
        with gr.Group(elem_classes="settings"):
            for control in self.speech:
                built[control.name] = _slider(control, t)
            # not a gr.Number, whose empty field is 0
            built["seed"] = gr.Textbox("", label=t("seed"), max_lines=1, max_length=10, elem_id="set-seed")
        return [built[name] for name in self.defaults], estimates

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        """The components' values by name. Any digits will do for a seed, and anything else for none."""
        named = dict(zip(self.defaults, values, strict=True))
        seed = (named["seed"] or "").strip()
        return {**named, "seed": int(seed) % _MOST_SEED if seed.isdecimal() else None}

    def expected(self, options: ChatOptions, costs: Costs) -> dict[Modality, float]:
        """Seconds that a medium made with these options will take, for each modality of which that is known."""
        wished = {m: {**self._decoders[m].settings, **options.decoding.get(m, {})} for m in self.modalities}
        found = {modality: costs.seconds(modality, settings) for modality, settings in wished.items()}
        return {modality: seconds for modality, seconds in found.items() if seconds is not None}

    def options(self, values: Mapping[str, Any], out_dir: Path, scope: str, fresh: bool = False) -> ChatOptions:
        """Raises ValueError in people's words for a name that is no setting or a value out of its range.

        `fresh` asks for other words than the last time, which temperature 0 would never give.
        """
        defaults = self.defaults
        if unknown := values.keys() - defaults.keys():
            raise ValueError(f"There is no option {', '.join(sorted(unknown))}; there are: {', '.join(defaults)}.")
        values = {**defaults, **values}
        for modality in self.modalities:
            if values[modality] not in _WANTED:
                raise ValueError(f"{modality} is {values[modality]!r}, expected one of {', '.join(_WANTED)}.")
        decoding: dict[Modality, dict[str, float]] = {}
        for control in self.decoding:
            chosen = _number(control.name, values[control.name], control.low, control.high)
            if chosen != control.default:
                decoding.setdefault(control.modality, {})[control.setting] = _as_step(chosen, control)
        speech = {c.setting: _number(c.name, values[c.name], c.low, c.high) for c in self.speech}
        if fresh and not speech["temperature"]:
            speech["temperature"] = _FRESH
        seed = values["seed"]
        return ChatOptions(
            sampling=replace(self._sampling, **{**speech, "max_tokens": int(speech["max_tokens"])}),
            seed=None if seed is None else int(_number("seed", seed, 0, _MOST_SEED)),
            wanted={modality: values[modality] for modality in self.modalities},
            decoding=decoding,
            out_dir=out_dir,
            scope=scope,
        )


def _control(modality: Modality, name: str, value: float) -> Control | None:
    """None for what is fixed by the file's format, such as frames a second."""
    ranges: dict[str, tuple[float, float, float]] = {
        "steps": (1, max(50, 2 * value), 1),
        "guidance_scale": (1, max(15, 2 * value), 0.5),
        "height": (value - value // 2 // _SIDE * _SIDE, 2 * value, _SIDE),
        "width": (value - value // 2 // _SIDE * _SIDE, 2 * value, _SIDE),
        "frames": (1, 2 * value, 1),
        "seconds": (1, 2 * value, 1),
    }
    return Control(name, value, *ranges[name], modality) if name in ranges else None


def _slider(control: Control, t: gr.I18n) -> gr.Slider:
    return gr.Slider(
        control.low,
        control.high,
        control.default,
        step=control.step,
        label=t(control.setting),
        elem_id=f"set-{control.name.replace('_', '-')}",
        buttons=[],
    )


def _number(name: str, value: Any, low: float, high: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}, expected a number from {low:g} to {high:g}.")
    return value


def _as_step(value: float, control: Control) -> float:
    """The nearest value that the slider has: sizes must be multiples that the decoder takes."""
    nearest = control.low + round((value - control.low) / control.step) * control.step
    return int(nearest) if float(nearest).is_integer() and control.setting != "guidance_scale" else nearest
