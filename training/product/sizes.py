"""How much a product has to learn from: what the schedules of a new `product.toml` follow from. Knows no schedule."""

from __future__ import annotations

from collections.abc import Sequence

from training.product.budget import Size
from training.product.lists import DataSettings, list_splits, split_of_member
from training.product.reading.log import ShownCandidate
from training.product.reading.pairs import GradedRow


def product_size(
    settings: DataSettings,
    rows: Sequence[GradedRow],
    shown: Sequence[ShownCandidate],
    has_catalogue: bool,
    tokens: tuple[int, int],
) -> Size:
    """What the models can learn from: lists of training members, as the steps will cut them, and the log's lists."""
    per_member: dict[str, int] = {}
    for each in rows:
        if (each.split or split_of_member(settings, each.member_id)) == "train":
            per_member[each.member_id] = per_member.get(each.member_id, 0) + 1
    splits = list_splits(settings, rows, shown)
    logged = [each for each in shown if splits[each.list_id] == "train"]
    logged_lists = len({each.list_id for each in logged})
    graded = sum(-(-count // settings.candidates_per_list) for count in per_member.values())
    lists, pairs = (graded, sum(per_member.values())) if rows else (logged_lists, len(logged))
    length = pairs / max(1, lists)
    return Size(
        graded=bool(rows),
        train_lists=lists,
        tokens_per_list=tokens[0] + length * tokens[1],
        tokens_in_pairs=max(1.0, length * sum(tokens)),
        further_lists=lists if has_catalogue else 0,
        logged_lists=logged_lists,
    )
