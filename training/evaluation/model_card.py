"""The model card: intended use, limits, training data, licence and measured quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.policy.policy import Policy
from training.recipe import Card, HeadPlan


def model_card(
    bundle: str, card: Card, plans: Sequence[HeadPlan], policy: Policy, report: str, kappas: Mapping[str, float]
) -> str:
    """Markdown with the usual sections of model cards (Mitchell et al., 2019); `report` is Markdown too.

    `kappas` by head: agreement of the expected grade with the judge.
    """
    heads = "\n".join(f"- `{head.name}`: {head.meaning} ({_about(head, kappas)})" for head in plans)
    data = "\n".join(f"- {line}" for line in card.data)
    attributions = "\n".join(f"> {line}\n" for line in card.attributions)
    return (
        f"# {card.title}\n\n"
        f"Bundle {bundle}, policy {policy.label}."
        f" Licence of the weights: {card.licence}.\n\n"
        f"## Use\n\n{card.intended_use}\n\n## Limits\n\n{card.limits}\n\n## Heads\n\n{heads}\n\n"
        f"## Data\n\n{data}\n\n## Attributions\n\n{attributions}\n{report.replace('# Eval', '## Eval', 1)}"
    )


def _about(head: HeadPlan, kappas: Mapping[str, float]) -> str:
    share = f"share of the default blend: {head.blend:g}"
    return f"{share}; kappa with the judge: {kappas[head.name]:.2f}" if head.name in kappas else share
