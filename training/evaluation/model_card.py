"""The model card: what the model is for, what it learnt from, under which licence, and how good it was found to be."""

from __future__ import annotations

from typing import Any

from training.evaluation.markdown_report import markdown
from training.policy.policy import Policy
from training.recipe import Recipe


def model_card(recipe: Recipe, policy: Policy, report: dict[str, Any]) -> str:
    """Markdown in the usual sections of model cards (Mitchell et al., 2019)."""
    card = recipe.card
    heads = "\n".join(
        f"- `{head.name}`: {head.meaning} (share of the default blend: {head.blend:g})" for head in recipe.heads
    )
    data = "\n".join(f"- {line}" for line in card.data)
    attributions = "\n".join(f"> {line}\n" for line in card.attributions)
    return (
        f"# {card.title}\n\n"
        f"Bundle `{recipe.name}`, version {recipe.version}, policy {policy.label}."
        f" Licence of the weights: {card.licence}.\n\n"
        f"## Use\n\n{card.intended_use}\n\n## Limits\n\n{card.limits}\n\n## Heads\n\n{heads}\n\n"
        f"## Data\n\n{data}\n\n## Attributions\n\n{attributions}\n{markdown(report).replace('# Eval', '## Eval', 1)}"
    )
