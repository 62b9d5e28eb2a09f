"""A policy document to begin with, for a product that has none: complete in form, to be filled in by people."""

from __future__ import annotations

from collections.abc import Sequence

from training.policy.policy import OVERALL

HEAD = """---
name: {name}-policy
version: 0.1.0
product: {name}
owners: write here who decides
---

# Policy of {name}: what a good candidate is

This document was made by `python -m training new`. It has the right form and the wrong content: replace each sentence.
Raise the version with each change of meaning; grades, teachers and bundles carry it.

## Rules

These rules apply to every grade. A judge reads them word for word.

- Use only what the two texts say.
- Grade what the member asks for, not what sells.

## Overall

The table limits the overall grade: "role at most 0 gives overall at most 1" would keep a wrong role off the first page.
It may stay empty.

| dimension | grade at most | overall at most |
|---|---|---|
"""
DIMENSION = """
## Dimension: {name}

Weight: {weight}

### Question

{question}

### Grades

| grade | name | meaning |
|---|---|---|
| 4 | perfect | Exactly what the member wants. |
| 3 | good | What the member wants, with a small difference. |
| 2 | partly | Some of what the member wants; a fair second choice. |
| 1 | hardly | Of the same kind, but not what the member wants. |
| 0 | not at all | Of another kind. |

### Examples

#### 4: replace this by a pair that deserves the best grade

- Member: what a member of {product} writes
- Candidate: a candidate that is exactly this
- Because: say in one sentence why.

#### 0: replace this by a pair that deserves the worst grade

- Member: what a member of {product} writes
- Candidate: a candidate of quite another kind
- Because: say in one sentence why.
"""


def policy_template(product: str, dimensions: Sequence[str]) -> str:
    """The document, with a section for each dimension that the pairs grade, or for one called `fit`."""
    names = [name for name in dimensions if name != OVERALL] or ["fit"]
    shares = [100 // len(names) + (place < 100 % len(names)) for place in range(len(names))]
    parts = [HEAD.format(name=product)]
    for name, weight in zip(names, shares, strict=True):
        question = f"How well does the candidate fit the member in this respect: {name}?"
        parts.append(DIMENSION.format(name=name, weight=weight, question=question, product=product))
    return "".join(parts)
