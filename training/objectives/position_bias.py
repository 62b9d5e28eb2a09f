"""Position bias: the position-based click model (PBM), with the model of attractiveness as one of its two factors.

    P(action) = P(examined | position) * P(action | examined)

`Examination` is the first factor, a logit per position. The second, attractiveness, is any model with logits per pair.
Both are trained together as in PAL (Guo et al., RecSys 2019), and only the second is kept: what serves or annotates
never sees a position. L lists, C candidates of a list, P positions, H actions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.heads import Calibration
from training.data.impressions import POSITION, SHOWN
from training.data.lists import CandidateList
from training.metrics.calibration import fit_calibrations
from training.objectives.losses import binary_kl, examined_nll, list_kl, rare_mask
from training.objectives.pairwise import ListLabels, ListLoss, Terms

ALWAYS = 30.0
"""Logit of position 1, which is always examined. Without this anchor only the product of both factors is identified."""


class Examination(nn.Module):
    """P(examined | position), relative to position 1. Positions beyond the last share the last one's probability."""

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.ones(positions - 1))

    def forward(self, positions_LC: Tensor) -> Tensor:
        """Positions f32[L, C], from 1 -> logits of being examined, f32[L, C]."""
        logits_P = torch.cat([self.logits.new_full((1,), ALWAYS), self.logits])
        return logits_P[(positions_LC.long() - 1).clamp(0, len(logits_P) - 1)]

    @torch.no_grad()
    def curve(self) -> np.ndarray:
        """P(examined) of each position, f64[P]; the first is 1."""
        later: np.ndarray = torch.sigmoid(self.logits).cpu().numpy().astype(np.float64)
        return np.concatenate([np.ones(1), later])


class ActionCalibration(nn.Module):
    """Each action as a function of relevance: logit_h = slope_h * relevance logit + level_h.

    Fitted first: two parameters per action explain most of the variance. Some actions follow relevance, others oppose
    it, and all are rarer than it.
    """

    appeal: nn.Parameter | None

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(num_actions))
        self.level = nn.Parameter(torch.zeros(num_actions))
        self.register_parameter("appeal", None)

    @classmethod
    def with_appeal(cls, rates: Sequence[float], width: int) -> ActionCalibration:
        """One that also reads the candidate's embedding: + sum_d appeal_hd * v_d. It starts as each action's rate."""
        found = cls(len(rates))
        found.slope = nn.Parameter(torch.zeros(len(rates)))
        found.level = nn.Parameter(torch.logit(torch.tensor(rates), eps=1e-6))
        found.appeal = nn.Parameter(torch.zeros(len(rates), width))
        return found

    def forward(self, relevance_LC: Tensor, candidates_LCD: Tensor | None = None) -> Tensor:
        """Logits f32[L, C] of relevance, and with appeal embeddings -> logits of actions, f32[L, C, H]."""
        logits_LCH = self.slope * relevance_LC.unsqueeze(-1) + self.level
        if self.appeal is None:
            return logits_LCH
        assert candidates_LCD is not None
        return logits_LCH + candidates_LCD @ self.appeal.T


class ClickModel(nn.Module):
    """Both factors, which are trained together. Only `attractiveness` is kept."""

    def __init__(self, attractiveness: nn.Module, examination: Examination) -> None:
        super().__init__()
        self.attractiveness = attractiveness
        self.examination = examination


def engagement_loss(
    actions: Sequence[str], rare: Sequence[str], examination: Examination | None, listwise_weight: float = 0.0
) -> ListLoss:
    """Negative log likelihood of the log, the mean over actions. `rare` actions count only in lists that have one.

    A candidate that was shown n times counts n times: its likelihood is the binomial one. `listwise_weight` adds that
    of the list: which of its candidates got the actions, given how often each was shown.

    Lists with a rare action are selected by it, so they are biased about positions: only the other actions train the
    examination. Without `examination` every impression counts as examined, for logs without positions; attractiveness
    then absorbs the position bias.
    """

    def loss(logits_LCH: Tensor, labels: ListLabels) -> Terms:
        terms = []
        for index, action in enumerate(actions):
            logits_LC, done_LC, known_LC = logits_LCH[..., index], labels.targets[action], labels.masks[action]
            times_LC = labels.targets.get(SHOWN, torch.ones_like(done_LC))
            mask_LC = known_LC * times_LC
            if listwise_weight:
                odds_LC = logits_LC + torch.log(times_LC.clamp_min(1))
                terms.append((listwise_weight, list_kl(odds_LC, done_LC * times_LC, known_LC)))
            if action in rare:
                mask_LC = rare_mask(done_LC, mask_LC)
            if examination is None:
                terms.append((1.0, binary_kl(logits_LC, done_LC, mask_LC)))
                continue
            examined_LC = examination(labels.targets[POSITION])
            examined_LC = examined_LC.detach() if action in rare else examined_LC
            terms.append((1.0, examined_nll(logits_LC, examined_LC, done_LC, mask_LC)))
        return Terms([(weight / len(actions), mean) for weight, mean in terms])

    return loss


def calibrate_attractiveness(
    actions: Sequence[str], logits: np.ndarray, lists: Sequence[CandidateList], curve: np.ndarray | None
) -> dict[str, Calibration]:
    """One calibration per action from `logits` f32[pairs, H] on a log's lists: P(action | examined).

    `curve` f64[P] is P(examined) of each position (None: 1 for all). Impressions beyond position P, where training
    did not tell positions apart, are left out. All other impressions count, also those of `rare` actions that training
    left out: masking raises the level of a rare action's logits, and this corrects it.
    """
    times = np.concatenate([each.labels.get(SHOWN, np.ones(len(each))) for each in lists])
    if curve is None:
        return fit_calibrations(actions, logits, lists, times=times)
    positions = np.concatenate([each.labels[POSITION] for each in lists]).astype(int)
    examined = np.where(positions <= len(curve), curve[np.minimum(positions, len(curve)) - 1], np.nan)
    return fit_calibrations(actions, logits, lists, examined=examined, times=times)
