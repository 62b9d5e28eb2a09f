"""Checks of texts against what the model reads: cut texts, unknown words, damaged characters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from training.product.check.findings import Figures, Finding
from training.product.check.material import Material

CUT, UNKNOWN, DAMAGED = 0.2, 0.05, 0.01
MOST_TEXTS = 20_000


def check_texts(material: Material) -> Iterator[Finding | Figures]:
    """Lengths in tokens against the windows, the share of unknown tokens, and replacement characters."""
    text = material.settings.text
    sides = {"member": text.member_tokens, "candidate": text.candidate_tokens}
    rows = []
    for side, window in sides.items():
        texts = _texts(material, side)
        if not texts:
            continue
        ids = [each[1:-1] for each in material.encoder.candidates(texts)]
        lengths = np.array([len(each) for each in ids])
        cut, unknown = float((lengths > window).mean()), _unknown(material, ids)
        quantiles = [f"{value:.0f}" for value in np.quantile(lengths, [0.5, 0.95, 1.0])]
        rows.append((side, str(len(texts)), *quantiles, str(window), f"{cut:.0%}", f"{unknown:.1%}"))
        if cut > CUT:
            sentence = (
                f"{cut:.0%} of the {side} texts are longer than {window} tokens: raise text.{side}_tokens, or shorten"
            )
            yield Finding("warning", "lengths", sentence)
        if unknown > UNKNOWN:
            sentence = f"{unknown:.0%} of the {side} tokens are unknown to the start encoder: is it of this language?"
            yield Finding("warning", "language", sentence)
        damaged = [each for each in texts if "\ufffd" in each]
        if len(damaged) > DAMAGED * len(texts):
            sentence = f"{len(damaged)} {side} texts hold the replacement character: export them again, as UTF-8"
            yield Finding("warning", "encoding", sentence)
    columns = ("side", "texts", "median", "95 %", "longest", "window", "cut", "unknown")
    yield Figures("Tokens of a text", columns, tuple(rows))


def _texts(material: Material, side: str) -> list[str]:
    found = dict.fromkeys(getattr(each, side) for each in material.pairs)
    if side == "candidate":
        found |= dict.fromkeys(material.catalogue.values())
    template = material.template
    render = template.render_member if side == "member" else template.render_candidate
    found |= dict.fromkeys(render(getattr(each, side)) for each in material.shown)
    return list(found)[:MOST_TEXTS]


def _unknown(material: Material, ids: list[np.ndarray]) -> float:
    every = np.concatenate(ids)
    return float((every == material.unknown).mean()) if every.size and material.unknown is not None else 0.0
