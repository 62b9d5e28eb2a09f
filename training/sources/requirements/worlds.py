"""The splits of the set `requirements`: occupations, commodities and surface forms are held out apart and together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.data.lists import SPLITS, Split
from training.policy.policy import Policy
from training.sources.requirements.jobs import World
from training.sources.requirements.vocabulary import read_vocabulary

TESTS = ("new occupations", "new forms", "new commodities", "all new")


def worlds(data: Path, policy: Policy, splits: Mapping[str, Split]) -> dict[str, World]:
    """By name: "train", "valid", and the tests. `data` holds the folders of O*NET, ESCO and their crosswalk; `splits`
    says which occupations are held out (`judged.occupation_splits`), and those that it does not name train.
    """
    vocabulary = read_vocabulary(data)
    codes: dict[Split, tuple[str, ...]] = {
        split: tuple(code for code in vocabulary.occupations if splits.get(code, "train") == split) for split in SPLITS
    }
    train, valid, test = codes["train"], codes["valid"], codes["test"]
    return {
        "train": World(vocabulary, policy, train),
        "valid": World(vocabulary, policy, valid),
        "new occupations": World(vocabulary, policy, test),
        "new forms": World(vocabulary, policy, train, "new"),
        "new commodities": World(vocabulary, policy, train, kept_items=True),
        "all new": World(vocabulary, policy, test, "new", kept_items=True),
    }
