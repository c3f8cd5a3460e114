"""The stages, as data: what each trains and what its loss is made of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nextgpt_core.model import NextGPT


@dataclass(frozen=True)
class Stage:
    """`trains` maps each trained group to its learning rate, `losses` each loss to its weight.

    Groups: lora, signals (the signal tokens' rows), input and output (the projectors). Losses: text is cross-entropy
    on the assistant's words, caption the distance between a projected run and the decoder's own text condition, and
    denoise, which no stage has by itself, the frozen UNet's error on the medium that a run stands for.
    """

    name: str
    trains: dict[str, float]
    losses: dict[str, float]


STAGES = {
    stage.name: stage
    for stage in (
        Stage("encode", trains={"input": 1e-3}, losses={"text": 1.0}),
        # The paper freezes the LoRA here. Trained along, it finds unseen captions within minutes on the pocket model.
        Stage("decode", trains={"output": 1e-3, "signals": 2e-3, "lora": 5e-4}, losses={"text": 0.3, "caption": 1.0}),
        # And here it is frozen, and the signal tokens with it: `projection` trains many steps on states computed once.
        Stage("project", trains={"output": 1e-3}, losses={"caption": 1.0}),
        Stage(
            "instruct",
            # The input projector creeps: at the others' rate a few hundred steps undo what it could name before.
            trains={"lora": 4e-4, "signals": 1e-3, "input": 5e-5, "output": 5e-4},
            losses={"text": 1.0, "caption": 1.0},
        ),
    )
}


def trainable_groups(model: NextGPT) -> dict[str, dict[str, nn.Parameter]]:
    """Every parameter that any stage trains, by group and by name in the model."""
    language_model = model.language_model
    return {
        "lora": {f"language_model.base.{k}": v for k, v in language_model.lora_parameters().items()},
        "signals": {
            "language_model.signal_embedding": language_model.signal_embedding,
            "language_model.signal_head": language_model.signal_head,
        },
        "input": {f"input_projectors.{k}": v for k, v in model.input_projectors.named_parameters()},
        "output": {f"output_projectors.{k}": v for k, v in model.output_projectors.named_parameters()},
    }


def set_trainable(model: NextGPT, stage: Stage) -> list[dict[str, object]]:
    """Freezes everything but the stage's groups; returns the optimizer's parameter groups, learning rates included."""
    model.requires_grad_(False)
    groups = trainable_groups(model)
    for name in stage.trains:
        for parameter in groups[name].values():
            parameter.requires_grad_(True)
    return [
        {"params": list(groups[name].values()), "lr": rate, "base_lr": rate, "name": name}
        for name, rate in stage.trains.items()
    ]
