"""The model card: intended use, limits, training data, licence and measured quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.evaluation.feature_effects import FeatureEffect
from training.policy.policy import Policy
from training.recipe import Card, HeadPlan


def model_card(
    bundle: str,
    card: Card,
    plans: Sequence[HeadPlan],
    policy: Policy,
    report: str,
    kappas: Mapping[str, float],
    effects: Sequence[FeatureEffect] = (),
) -> str:
    """Markdown with the usual sections of model cards (Mitchell et al., 2019); `report` is Markdown too.

    `kappas` by head: agreement of the expected grade with the judge. `effects`: what features change.
    """
    heads = "\n".join(f"- `{head.name}`: {head.meaning} ({_about(head, kappas)})" for head in plans)
    data = "\n".join(f"- {line}" for line in card.data)
    attributions = "\n".join(f"> {line}\n" for line in card.attributions)
    return (
        f"# {card.title}\n\n"
        f"Bundle {bundle}, policy {policy.label}."
        f" Licence of the weights: {card.licence}.\n\n"
        f"## Use\n\n{card.intended_use}\n\n## Limits\n\n{card.limits}\n\n## Heads\n\n{heads}\n\n{_features(effects)}"
        f"## Data\n\n{data}\n\n## Attributions\n\n{attributions}\n{report.replace('# Eval', '## Eval', 1)}"
    )


def _features(effects: Sequence[FeatureEffect]) -> str:
    """A section, only where the student reads features."""
    if not effects:
        return ""
    rows = "\n".join(
        f"| `{each.feature}` | `{each.head}` | {each.low:g} | {each.high:g} | {each.unit} |"
        f" {f'{each.change:+.2f}' if each.used else 'none: it does not lower the loss'} |"
        for each in effects
    )
    return (
        "## Features\n\nWhat a head's logit changes, on average over validation pairs, if a feature goes from its 10 %"
        " to its 90 % quantile, with a 95 % interval over members.\n\n"
        "| feature | head | from | to | unit | change of the logit |\n|---|---|---|---|---|---|\n"
        f"{rows}\n\n"
    )


def _about(head: HeadPlan, kappas: Mapping[str, float]) -> str:
    share = f"share of the default blend: {head.blend:g}"
    return f"{share}; kappa with the judge: {kappas[head.name]:.2f}" if head.name in kappas else share
