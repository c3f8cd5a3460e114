"""What an input projector recognises is said in its place, beside the linear map."""

from __future__ import annotations

import pytest
import torch

from nextgpt_core.config import ConfigError, InputProjectorConfig, RecallConfig, parse
from nextgpt_core.projectors import InputProjector

DIM, WIDTH, TOKENS = 7, 5, 2


def test_recalls_are_read_from_json():
    values = {"encoder": "eyes", "recalls": [{"entries": 3, "columns": [0, 4]}]}
    config = parse(InputProjectorConfig, values, "config.json")
    assert config.recalls == (RecallConfig(3, (0, 4)),)


@torch.no_grad()
def test_without_recalls_it_is_a_linear_map_of_each_row():
    projector, features = InputProjector(DIM, WIDTH, TOKENS), torch.randn(2, 3, DIM)
    expected = torch.stack([projector.linear(features[:, row]) for row in range(3)], 1).view(2, 3 * TOKENS, WIDTH)
    torch.testing.assert_close(projector(features), expected)


def embed(ids: torch.Tensor) -> torch.Tensor:
    """(…) → (…, WIDTH), a row of its own for each id."""
    return torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(1))[ids]


@torch.no_grad()
def test_what_is_recognised_in_the_first_row_is_said_in_its_own():
    torch.manual_seed(0)
    recalls = (RecallConfig(3, (0, 4)), RecallConfig(6, (4, 7), row=1, hidden=8))
    projector, features = InputProjector(DIM, WIDTH, TOKENS, recalls, embed), torch.randn(2, 2, DIM)
    things, motions = projector.recalls
    assert [tuple(p.shape) for p in things.parameters()] == [(4,), (4,), (3, 4), (3,)]
    said = []
    for recall, columns in ((things, slice(0, 4)), (motions, slice(4, 7))):
        recall.mean.normal_()
        recall.scale.uniform_(0.5, 2)
        recall.names[1:] = torch.randint(50, (recall.entries - 1, TOKENS))  # the first says nothing
        values = torch.cat([torch.zeros(1, TOKENS, WIDTH), embed(recall.names[1:])])
        shares = recall.keys((features[:, 0, columns] - recall.mean) * recall.scale).softmax(-1)
        said.append(torch.einsum("be,etw->btw", shares, values))
    bare = InputProjector(DIM, WIDTH, TOKENS)
    bare.load_state_dict({name: value for name, value in projector.state_dict().items() if "recalls" not in name})
    torch.testing.assert_close(projector(features), bare(features) + torch.cat(said, 1))
    # a picture has one row, in which nothing moves
    torch.testing.assert_close(projector(features[:, :1]), bare(features[:, :1]) + said[0])


@torch.no_grad()
def test_who_is_sure_says_one_entry_and_who_is_not_a_mixture():
    projector = InputProjector(DIM, WIDTH, 1, (RecallConfig(3, (0, 3)),), embed)
    (recall,) = projector.recalls
    recall.names[:] = torch.tensor([[7], [8], [9]])
    recall.keys[0].weight.copy_(100 * torch.eye(3))
    recall.keys[0].bias.zero_()
    torch.testing.assert_close(recall(torch.eye(DIM)[1:2]), embed(torch.tensor([8])))
    torch.testing.assert_close(recall(torch.zeros(1, DIM)), embed(torch.tensor([7, 8, 9])).mean(0)[None])


@torch.no_grad()
def test_what_the_encoder_knows_itself_comes_first_in_the_same_softmax():
    (recall,) = InputProjector(DIM, WIDTH, 1, (RecallConfig(5, (0, 3), rank=2, known=(3, 5)),), embed).recalls
    assert [tuple(p.shape) for p in recall.keys.parameters()] == [(2, 3), (3, 2), (3,)]
    features = torch.cat([torch.randn(4, 3), torch.tensor([[0.9, 0.1]]).expand(4, 2), torch.zeros(4, 2)], 1)
    mass = recall.keys(features[:, :3]).exp()
    torch.testing.assert_close(recall.recognise(features)[:, :2], features[:, 3:5] / (1 + mass.sum(1, keepdim=True)))
    torch.testing.assert_close(recall.recognise(features)[:, 2:], mass / (1 + mass.sum(1, keepdim=True)))
    assert recall.recognise(torch.zeros(1, DIM)).isfinite().all()


@pytest.mark.parametrize(
    ("recall", "said"),
    [
        (RecallConfig(3, (0, 8)), r"columns are \[0, 8\]; the encoder's rows have 7 columns"),
        (RecallConfig(3, (4, 2)), r"columns are \[4, 2\]"),
        (RecallConfig(3, (0, 2), known=(6, 9)), r"known are \[6, 9\]"),
        (RecallConfig(3, (0, 2), known=(2, 5)), "3 entries, of which all are known"),
        (RecallConfig(3, (0, 2), hidden=4, rank=2), "hidden units or a rank"),
    ],
)
def test_columns_that_are_not_there_are_an_error_at_once(recall, said):
    with pytest.raises(ConfigError, match=said):
        InputProjector(DIM, WIDTH, TOKENS, (recall,), embed)
