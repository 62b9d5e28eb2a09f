"""Checks of graded pairs: splits, counts, contradictions, near-duplicates, leaks. Yields findings; stops nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

import numpy as np

from training.data.lists import SPLITS
from training.product.check.findings import Figures, Finding, some
from training.product.check.leaks import auc_of_texts
from training.product.check.material import CheckedPair, Material
from training.product.check.near_duplicates import near_duplicates

NEAR = 0.8
LEAST_LISTS = 30
"""Under so many held-out lists, an interval of NDCG is about a quarter wide."""
SUSPICIOUS, CERTAIN = 0.75, 0.95
"""AUC of one side alone that is a warning, and that is an error: nothing but a copy of the label predicts so well."""
LEAST_ROWS = 100
FAMILIAR = 0.5
"""Above this share of candidates that training saw, figures say little about new ones."""


def check_splits(material: Material) -> Iterator[Finding]:
    """A member in two splits is learnt by heart and then examined."""
    splits: dict[str, set[str]] = defaultdict(set)
    for each in material.pairs:
        splits[each.member_id].add(each.split)
    several = sorted(name for name, found in splits.items() if len(found) > 1)
    if several:
        sentence = f"{len(several)} members are in several splits ({some(several)}): keep each in one"
        yield Finding("error", "splits", sentence)
    trained = {each.candidate_id for each in material.split("train")}
    tested = {each.candidate_id for each in material.split("test")}
    if tested and trained & tested:
        share = len(trained & tested) / len(tested)
        sentence = f"{share:.0%} of the {len(tested)} candidates of the test are in training too: it tests new members"
        yield Finding("warning" if share > FAMILIAR else "fact", "splits", sentence)


def check_sizes(material: Material) -> Iterator[Finding]:
    """Each figure needs a least number of lists."""
    if not material.pairs:
        return
    for split in SPLITS:
        rows = material.split(split)
        gains: dict[str, set[float]] = defaultdict(set)
        for each in rows:
            gains[each.member_id].add(each.gain)
        ranked = sum(len(found) > 1 for found in gains.values())
        uses = {"train": "to learn from", "valid": "for calibration", "test": "for every figure"}[split]
        if not gains:
            sentence = (
                f"no member is in {split}, which is needed {uses}: each split needs at least one member with two"
                " different grades; add members, or write a column `split`"
            )
            yield Finding("error", "sizes", sentence)
        elif not ranked:
            yield Finding("error", "sizes", f"no member in {split} has two different grades: there is no order {uses}")
        elif ranked < LEAST_LISTS:
            sentence = f"{ranked} members in {split} have two different grades; {LEAST_LISTS} or more are wanted {uses}"
            yield Finding("warning", "sizes", sentence)


def check_steps(material: Material) -> Iterator[Finding]:
    """No step may ask for more training lists than there are."""
    settings = material.settings.training
    per_member = Counter(each.member_id for each in material.split("train"))
    kinds = {
        "graded lists": sum(-(-count // settings.candidates_per_list) for count in per_member.values()),
        "lists of the log": sum(split == "train" for split in material.log_splits.values()),
    }
    for kind, count in kinds.items():
        if 0 < count < settings.lists_per_step:
            sentence = (
                f"a step takes {settings.lists_per_step} lists and training has {count} {kind}: set"
                f" training.lists_per_step to {count}, or add lists"
            )
            yield Finding("error", "sizes", sentence)


def check_contradictions(material: Material) -> Iterator[Finding]:
    """The same two texts, under other ids, with other grades; and rows that say the same twice."""
    grades: dict[tuple[str, str, str], list[CheckedPair]] = defaultdict(list)
    for each in material.pairs:
        grades[(each.member, each.candidate, each.rater)].append(each)
    wrong = [rows for rows in grades.values() if len({each.gain for each in rows}) > 1]
    if wrong:
        rows = [f"rows {each[0].row} and {each[1].row}" for each in wrong]
        sentence = f"{len(wrong)} pairs of equal texts have different grades ({some(rows)}): keep one grade"
        yield Finding("warning", "contradictions", sentence)
    twice = [rows for rows in grades.values() if len(rows) > 1 and len({each.gain for each in rows}) == 1]
    if twice:
        sentence = f"{len(twice)} pairs of equal texts are there twice, as row {twice[0][1].row}: they count twice"
        yield Finding("warning", "duplicates", sentence)
    for side in ("member", "candidate"):
        texts: dict[str, set[str]] = defaultdict(set)
        for each in material.pairs:
            texts[getattr(each, f"{side}_id")].add(getattr(each, side))
        several = sorted(name for name, found in texts.items() if len(found) > 1)
        if several:
            sentence = f"{len(several)} {side} ids have several texts ({some(several)}): the store keeps one per id"
            yield Finding("warning", "contradictions", sentence)


def check_near_duplicates(material: Material) -> Iterator[Finding]:
    """Members of the test that nearly equal one in training."""
    train = list({each.member: each.member_id for each in material.split("train")}.items())
    test = list({each.member: each.member_id for each in material.split("test")}.items())
    found = list(near_duplicates([text for text, _ in test], [text for text, _ in train], NEAR))
    if found:
        pairs = [f"{test[one][1]} is {share:.0%} {train[other][1]}" for one, other, share in found]
        sentence = (
            f"{len(found)} of {len(test)} member texts of the test nearly equal one in training ({some(pairs)}):"
            " give such members one id, or one split"
        )
        yield Finding("warning", "near-duplicates", sentence)


def check_leaks(material: Material) -> Iterator[Finding]:
    """What predicts the grade without the other side."""
    train, test = material.split("train"), [*material.split("valid"), *material.split("test")]
    if len(train) < LEAST_ROWS or len(test) < LEAST_ROWS:
        if material.pairs:
            sentence = f"leaks are not looked for: {LEAST_ROWS} pairs in training and as many held out are needed"
            yield Finding("fact", "leaks", sentence)
        return
    names = sorted({name for each in train for name in each.fields})
    parts: dict[str, Callable[[CheckedPair], str]] = {
        "the candidate": lambda each: each.candidate,
        "the member": lambda each: each.member,
    }
    for name in names:
        parts[f"column {name!r}"] = lambda each, name=name: each.fields.get(name, "")  # type: ignore[misc]
    for words, part in parts.items():
        found = _auc(train, test, part)
        if found is None:
            continue
        sentence = f"{words} alone predicts the grade with AUC {found:.2f}"
        if found >= SUSPICIOUS:
            advice = "is the label in it? remove what gives it away"
            yield Finding("error" if found >= CERTAIN else "warning", "leaks", f"{sentence}: {advice}")
        elif words.startswith("the "):
            yield Finding("fact", "leaks", sentence)


def _auc(train: Sequence[CheckedPair], test: Sequence[CheckedPair], part: Callable[[CheckedPair], str]) -> float | None:
    gains, held_out = (np.array([each.gain for each in rows]) for rows in (train, test))
    return auc_of_texts([part(each) for each in train], gains, [part(each) for each in test], held_out)


def count_pairs(material: Material) -> Iterator[Figures]:
    """Counts of each split: members, pairs, grades, mean. Nothing for a log alone."""
    if not material.pairs:
        return
    rows = []
    for split in SPLITS:
        found = material.split(split)
        grades = Counter(round(4 * each.gain) for each in found)
        mean = f"{fmean(4 * each.gain for each in found):.2f}" if found else "-"
        members = str(len({each.member_id for each in found}))
        rows.append((split, members, str(len(found)), *(str(grades[grade]) for grade in range(5)), mean))
    yield Figures("Graded pairs", ("split", "members", "pairs", *map(str, range(5)), "mean grade"), tuple(rows))
    by_rater = Counter(each.rater for each in material.pairs)
    yield Figures("Grades by rater", ("rater", "pairs"), tuple((name, str(count)) for name, count in by_rater.items()))
