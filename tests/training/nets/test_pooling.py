"""Pooling of tokens into slots: even runs, independent of padding; learnt queries start as the runs' means."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from training.nets.joint.pooling import LearntQueries, RunFirsts, RunMeans, new_pooling
from training.nets.shapes import Pooling

MASK_NT = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]])


def test_means_divide_a_text_evenly() -> None:
    weights_NPT = RunMeans(2).weights(MASK_NT)
    torch.testing.assert_close(weights_NPT[0, 0], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0, 0, 0]))
    torch.testing.assert_close(weights_NPT[0, 1], torch.tensor([0, 0, 0, 1 / 2, 1 / 2, 0]))


def test_a_text_of_fewer_tokens_than_slots_fills_them_with_its_mean() -> None:
    weights_NPT = RunMeans(4).weights(torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(weights_NPT.sum(-1), torch.ones(1, 4))
    torch.testing.assert_close(weights_NPT[0, 1], torch.tensor([0.5, 0.5, 0.0]))


def test_firsts_take_the_token_at_which_each_run_begins() -> None:
    weights_NPT = RunFirsts(2).weights(MASK_NT)
    assert weights_NPT.argmax(-1).tolist() == [[0, 3], [0, 1]]
    torch.testing.assert_close(weights_NPT.sum(-1), torch.ones(2, 2))
    assert RunFirsts(4).weights(torch.tensor([[1, 1, 0]])).argmax(-1).tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("kind", [kind for kind in get_args(Pooling) if kind != "items"])  # items: test_item_scorer.py
@pytest.mark.parametrize("length", [1, 2, 5, 9])
def test_padding_changes_no_slot(kind: Pooling, length: int) -> None:
    torch.manual_seed(0)
    pooling = new_pooling(kind, 3, 8)
    for parameter in pooling.parameters():
        torch.nn.init.normal_(parameter)
    states_1TD = torch.randn(1, 12, 8)
    mask_1T = (torch.arange(12) < length).long().unsqueeze(0)
    alone_1PD = pooling(states_1TD[:, :length], mask_1T[:, :length])
    torch.testing.assert_close(pooling(states_1TD, mask_1T), alone_1PD, rtol=0, atol=1e-6)


def test_queries_start_near_the_means_and_learn_to_attend_elsewhere() -> None:
    torch.manual_seed(0)
    states_NTD = torch.randn(2, 6, 8)
    queries, means_NPD = LearntQueries(2, 8), RunMeans(2)(states_NTD, MASK_NT)
    assert torch.cosine_similarity(queries(states_NTD, MASK_NT), means_NPD, dim=-1).min() > 0.99
    # Whose last token is wanted: the mean of its run can't say it, a query can.
    wanted_D = states_NTD[0, 4]
    optimiser = torch.optim.Adam(queries.parameters(), lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        loss = (queries(states_NTD, MASK_NT)[0, 0] - wanted_D).square().mean()
        loss.backward()
        optimiser.step()
    assert loss < 0.1 * (means_NPD[0, 0] - wanted_D).square().mean()
