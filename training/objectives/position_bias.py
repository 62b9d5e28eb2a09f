"""The engagement teacher: learns from a log what attracts a member, apart from where it stood in the list.

chance of an action = chance that its place is looked at * chance of the action once looked at. Any model that gives
logits a pair can be the second factor; the first, `Examination`, is a tower over places alone. It is trained beside the
model and left behind: nothing that serves or annotates has ever heard of positions.
L lists, C candidates of a list, P places, H actions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.heads import Calibration
from training.data.impressions import POSITION
from training.data.lists import CandidateList
from training.metrics.calibration import fit_platt
from training.objectives.losses import binary_kl, examined_nll, rare_mask
from training.objectives.pairwise import ListLabels, ListLoss

ALWAYS = 30.0
"""Logit of the first place: it is always looked at. Without this anchor only the product of both chances is known."""


class Examination(nn.Module):
    """How often each place is looked at, compared with the first. Places beyond the last share the last's chance."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.ones(places - 1))

    def forward(self, positions_LC: Tensor) -> Tensor:
        """Places f32[L, C], from 1 -> logits of being looked at, f32[L, C]."""
        logits_P = torch.cat([self.logits.new_full((1,), ALWAYS), self.logits])
        return logits_P[(positions_LC.long() - 1).clamp(0, len(logits_P) - 1)]

    @torch.no_grad()
    def curve(self) -> np.ndarray:
        """Chance that each place is looked at, f64[P]; the first is 1."""
        later: np.ndarray = torch.sigmoid(self.logits).cpu().numpy().astype(np.float64)
        return np.concatenate([np.ones(1), later])


class ActionCalibration(nn.Module):
    """How each action hangs together with relevance: logit_h = slope_h * logit of relevance + level_h.

    Learnt first, for it says most and needs little: some actions answer what fits, others what does not, and all are
    rarer than that.
    """

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(num_actions))
        self.level = nn.Parameter(torch.zeros(num_actions))

    def forward(self, relevance_LC: Tensor) -> Tensor:
        """Logits f32[L, C] of relevance -> logits of actions, f32[L, C, H]."""
        return self.slope * relevance_LC.unsqueeze(-1) + self.level


class Engaged(nn.Module):
    """A model of attraction and its position tower: what is trained together. Only `attraction` is kept."""

    def __init__(self, attraction: nn.Module, examination: Examination) -> None:
        super().__init__()
        self.attraction = attraction
        self.examination = examination


def engagement_loss(actions: Sequence[str], rare: Sequence[str], examination: Examination | None) -> ListLoss:
    """Mean over actions of the log's -log likelihood; for `rare` ones only lists that hold the action count.

    Lists that hold a rare action are picked by it, so they say nothing true of places: only the other actions move the
    examination. Without `examination` every impression is taken for looked at: for logs that hold no places, and what
    is learnt then is attraction and place in one.
    """

    def loss(logits_LCH: Tensor, labels: ListLabels) -> Tensor:
        terms = []
        for index, action in enumerate(actions):
            logits_LC, done_LC, mask_LC = logits_LCH[..., index], labels.targets[action], labels.masks[action]
            if action in rare:
                mask_LC = rare_mask(done_LC, mask_LC)
            if examination is None:
                terms.append(binary_kl(logits_LC, done_LC, mask_LC))
                continue
            looked_LC = examination(labels.targets[POSITION])
            looked_LC = looked_LC.detach() if action in rare else looked_LC
            terms.append(examined_nll(logits_LC, looked_LC, done_LC, mask_LC))
        return torch.stack(terms).mean()

    return loss


def fit_attractions(
    actions: Sequence[str], logits: np.ndarray, lists: Sequence[CandidateList], curve: np.ndarray | None
) -> dict[str, Calibration]:
    """One calibration an action from `logits` f32[pairs, H] on a log's lists: the chance once looked at.

    `curve` f64[P] is the chance of each place (None: 1 for all). Places beyond it, which training did not tell apart,
    are left out.

    All impressions count here, those that `rare` left out of training too: masking lifts the level of a rare action's
    logits, and this brings it back.
    """
    told_apart, examined = np.ones(len(logits), dtype=bool), None
    if curve is not None:
        places = np.concatenate([each.labels[POSITION] for each in lists]).astype(int)
        told_apart, examined = places <= len(curve), curve[np.minimum(places, len(curve)) - 1]
    fitted = {}
    for index, action in enumerate(actions):
        done = np.concatenate([each.labels[action] for each in lists])
        known = ~np.isnan(done) & told_apart
        looked = None if examined is None else examined[known]
        fitted[action] = fit_platt(logits[known, index], done[known], examined=looked)
    return fitted
