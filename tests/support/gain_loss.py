"""A loss of plain logits by the gains of lists: something to train on where a test asks how, not what."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from training.objectives.losses import binary_kl, list_kl
from training.objectives.pairwise import ListLabels, ListLoss, Terms


def gain_loss(heads: Sequence[str]) -> ListLoss:
    """Binary KL to the gain of each pair, plus a listwise term; the mean over heads."""

    def loss(logits_LCH: Tensor, batch: ListLabels) -> Terms:
        means = []
        for index, head in enumerate(heads):
            logits_LC, targets_LC, mask_LC = logits_LCH[..., index], batch.targets[head], batch.masks[head]
            means += [binary_kl(logits_LC, targets_LC, mask_LC), list_kl(logits_LC, targets_LC, mask_LC)]
        return Terms([(1 / len(heads), mean) for mean in means])

    return loss
