"""What an input projector recognises is said in its place, beside the linear map."""

from __future__ import annotations

import torch

from nextgpt_core.config import InputProjectorConfig, RecallConfig, parse
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


@torch.no_grad()
def test_what_is_recognised_in_the_first_row_is_said_in_its_own():
    torch.manual_seed(0)
    recalls = (RecallConfig(3, (0, 4)), RecallConfig(6, (4, 7), row=1, hidden=8))
    projector, features = InputProjector(DIM, WIDTH, TOKENS, recalls), torch.randn(2, 2, DIM)
    things, motions = projector.recalls
    assert [tuple(p.shape) for p in things.parameters()] == [(4,), (4,), (3, 4), (3,), (TOKENS * WIDTH, 3)]
    for recall in (things, motions):
        recall.mean.normal_()
        recall.scale.uniform_(0.5, 2)
    said = [
        (recall.keys((features[:, 0, columns] - recall.mean) * recall.scale).softmax(-1) @ recall.values.weight.T).view(
            2, TOKENS, WIDTH
        )
        for recall, columns in ((things, slice(0, 4)), (motions, slice(4, 7)))
    ]
    bare = InputProjector(DIM, WIDTH, TOKENS)
    bare.load_state_dict({name: value for name, value in projector.state_dict().items() if "recalls" not in name})
    torch.testing.assert_close(projector(features), bare(features) + torch.cat(said, 1))
    # a picture has one row, in which nothing moves
    torch.testing.assert_close(projector(features[:, :1]), bare(features[:, :1]) + said[0])


@torch.no_grad()
def test_who_is_sure_says_one_entry_and_who_is_not_a_mixture():
    projector = InputProjector(DIM, WIDTH, 1, (RecallConfig(3, (0, 3)),))
    (recall,) = projector.recalls
    recall.keys[0].weight.copy_(100 * torch.eye(3))
    recall.keys[0].bias.zero_()
    torch.testing.assert_close(recall(torch.eye(DIM)[1:2]), recall.values.weight[:, 1:2].T)
    torch.testing.assert_close(recall(torch.zeros(1, DIM)), recall.values.weight.mean(1)[None])
