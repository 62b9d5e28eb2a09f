"""The text of a new `product.toml`: every setting with its reason beside it. Knows no data but what it is handed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from models.features import Feature
from models.template import FieldFormat
from training.product.budget import Steps
from training.product.settings import Files, Log


@dataclass(frozen=True)
class Findings:
    """What `new` found out about a product."""

    name: str
    encoder: str
    files: Files
    columns: dict[str, str]
    member: tuple[FieldFormat, ...]
    candidate: tuple[FieldFormat, ...]
    member_tokens: int
    candidate_tokens: int
    authority: tuple[str, ...]
    dimensions: tuple[str, ...]
    log: Log
    split_by: str
    valid: float
    test: float
    hours: float
    steps: Steps
    lists_per_step: int
    candidates_per_list: int
    attributions: tuple[str, ...]
    features: tuple[Feature, ...] = ()


TEXT = """\
# {name}: what this product is. `python -m training all FOLDER` reads it, trains, and writes FOLDER/bundle.
# An unknown key is an error. After an edit only the steps that it concerns run again: see `python -m training status`.

name = {name}
version = "1"
# The encoder to start from: a bundle, or a folder as transformers saves it. "": the fp16 encoder of a shipped bundle.
encoder = {encoder}
# The bundle that is live: a further training starts from it and is compared with it. "": what `promote` made live last.
live = ""
# Numbers of candidates beside their texts: the columns feature.NAME. Callers of the service send them as `features`.
# One outside of low to high counts as the nearer of both, and a missing one as the default.
features = {features}

[files]
# From this folder, or absolute. "": there is no such file.
policy = {policy}
pairs = {pairs}
log = {log_file}
candidates = {candidates}

[columns]
# theirs = "ours", for columns with other names.
{columns}

[text]
# Fields in the order in which they become one text; with a label they read "label: value". Callers of the service send
# fields of these names. An empty list: the side is one text.
member = {member}
candidate = {candidate}
# Tokens that are read; the rest of a text is cut. They cover 95 % of your texts, up to 256. Time grows with them.
member_tokens = {member_tokens}
candidate_tokens = {candidate_tokens}

[grades]
# Who graded, first the one who decides where raters differ.
authority = {authority}
# Dimensions of the policy that get a head of their own; those with at least 200 grades.
dimensions = {dimensions}

[log]
# What members do, as columns or as words of `action`. Each gets a head.
actions = {actions}
# Positions whose chance of being looked at is learnt. 0: every position counts as seen, as in a random order.
places = {places}
# Actions that count as not taken only in lists where the member took one of them.
rare = []

[split]
# What is held out: "member", by a hash of ids, or, without pairs, "time": the latest lists of the log. A column
# `split` wins over both.
by = {split_by}
# Shares that are held out.
valid = {valid}
test = {test}

[training]
# What the steps below were computed from. Changing it changes nothing: change the steps, or make the product again.
hours = {hours}
# Lists of a step, at most: no more than there are training lists.
lists_per_step = {lists_per_step}
# Steps of the encoder that the student starts from. At most four passes over the data.
start_steps = {start_steps}
# Steps of the policy teacher, which reads one list at a time in pairs. At most four passes.
teacher_steps = {teacher_steps}
# Steps of the student, and of the teacher of actions.
student_steps = 80
engagement_steps = {engagement_steps}
# Without pairs: steps of the student before those, with its encoder frozen.
frozen_steps = {frozen_steps}
# Training lists are cut to this length, in random order.
candidates_per_list = {candidates_per_list}
# Lists that the teacher labels for the student.
annotated_lists = {annotated_lists}
# Training members that get 15 more candidates of the training lists, labelled by the teacher.
pool_members = {pool_members}
# Lists of training members with candidates of the catalogue that have no grade: the teacher labels them.
unlabelled_lists = {unlabelled_lists}
seed = 0

[evaluation]
# BM25 and the cosine of the start encoder beside the student: is training worth it?
baselines = true
# At most so many held-out lists of each source.
lists = 400
# Lists whose names, ages and genders are swapped for the fairness audit. Set it to 20 or more where members are people.
fairness_lists = 0

[evaluation.floors]
# The least that ships, by "head/source/metric". Without floors nothing stops a bad model: set some.
# "relevance/pairs/ndcg@10" = 0.7

[card]
title = {title}
intended_use = "Write here for what use and for which people this model is made."
limits = "Write here what it must not be used for. It has not been audited for fairness."
licence = "Proprietary"
# What the start encoder obliges you to state.
attributions = {attributions}
"""


def settings_text(found: Findings) -> str:
    """The whole file."""
    return TEXT.format(
        name=_value(found.name),
        encoder=_value(found.encoder),
        features=_features(found.features),
        policy=_value(found.files.policy),
        pairs=_value(found.files.pairs),
        log_file=_value(found.files.log),
        candidates=_value(found.files.candidates),
        columns="\n".join(f"{_value(theirs)} = {_value(ours)}" for theirs, ours in found.columns.items()),
        member=_formats(found.member),
        candidate=_formats(found.candidate),
        member_tokens=found.member_tokens,
        candidate_tokens=found.candidate_tokens,
        authority=_value(list(found.authority)),
        dimensions=_value(list(found.dimensions)),
        actions=_value(list(found.log.actions)),
        places=found.log.places,
        split_by=_value(found.split_by),
        valid=found.valid,
        test=found.test,
        hours=found.hours,
        start_steps=found.steps.start,
        pool_members=found.steps.pool_members,
        teacher_steps=found.steps.teacher,
        engagement_steps=found.steps.engagement,
        frozen_steps=found.steps.frozen,
        lists_per_step=found.lists_per_step,
        candidates_per_list=found.candidates_per_list,
        annotated_lists=found.steps.annotated_lists,
        unlabelled_lists=found.steps.unlabelled_lists,
        title=_value(f"{found.name} student"),
        attributions=_value(list(found.attributions)),
    ).replace("\n\n\n", "\n\n")


def _features(features: Sequence[Feature]) -> str:
    rows = [
        f"    {{ name = {_value(each.name)}, unit = {_value(each.unit)}, low = {each.low!r}, high = {each.high!r},"
        f" default = {each.default!r} }},"
        for each in features
    ]
    return "\n".join(["[", *rows, "]"]) if rows else "[]"


def _formats(formats: Sequence[FieldFormat]) -> str:
    rows = [f"    {{ name = {_value(each.name)}, label = {_value(each.label)} }}," for each in formats]
    return "\n".join(["[", *rows, "]"]) if rows else "[]"


def _value(value: str | Sequence[str]) -> str:
    """A text or a list of texts in TOML, whose escapes are those of JSON, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
