"""`python -m training new NAME`: files of a product -> its folder, outside the package, with what was assumed in words.

Everything is read and checked before anything is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from models.features import Feature
from models.tables.columns import Side, fields_of, has_side, whole_numbers
from models.tables.table import Table, read
from models.template import Content, FieldFormat, Template
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.errors import UserError
from training.files import write_whole
from training.policy.parser import parse_policy, read_policy
from training.policy.policy import OVERALL
from training.product.budget import allowed_steps
from training.product.lists import DataSettings, catalogue, graded_rows, shown_candidates
from training.product.policy_template import policy_template
from training.product.reading.features import suggested_features
from training.product.reading.log import LOG_COLUMNS, LOG_PREFIXES, ShownCandidate, actions_of
from training.product.reading.pairs import PAIR_COLUMNS, PAIR_PREFIXES, GradedRow, graded_dimensions
from training.product.settings import SETTINGS, Files, Log
from training.product.settings_file import Findings, settings_text
from training.product.sizes import product_size
from training.product.start import shipped_bundle, start_attributions

PLAIN = {"title", "headline", "name", "query", "text", "description", "summary", "body", "experience", "content"}
"""Fields whose text speaks for itself: they get no label."""
TOKENS_PER_WORD = 1.4
HEAD_GRADES = 200
"""A dimension with fewer grades gets no head of its own."""
FEW_MEMBERS = 200
"""With fewer members, larger shares are held out: figures need lists."""
CANDIDATES_PER_LIST = 8
MOST_PLACES = 50


@dataclass(frozen=True)
class Order:
    """What a person asks for."""

    folder: Path
    policy: Path | None
    pairs: Path | None
    log: Path | None
    candidates: Path | None
    columns: Mapping[str, str]
    hours: float
    encoder: Path | None


@dataclass(frozen=True)
class Tables:
    """What the files hold, and the sentences that say what was assumed."""

    pairs: Table | None
    log: Table | None
    candidates: Table | None
    assumed: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[Table]:
        return [each for each in (self.pairs, self.log, self.candidates) if each]


def new_product(order: Order, speed: Callable[[Path], float]) -> list[str]:
    """Write the folder; returns what was assumed, in sentences. `speed` measures the start encoder, in tokens a second.

    Raises UserError or DataError, and then has written nothing.
    """
    name = _name(order.folder)
    if not (order.pairs or order.log):
        raise UserError("a product needs --pairs or --log: grades or actions say what is good")
    if (order.folder / SETTINGS).exists():
        raise UserError(f"{order.folder / SETTINGS} exists: edit it, or choose another name")
    tables = _open(order)
    policy = _policy(order, name, tables)
    findings = _findings(order, name, tables, speed)
    order.folder.mkdir(parents=True, exist_ok=True)
    if not (order.folder / "policy.md").exists() or order.policy:
        write_whole(order.folder / "policy.md", policy)
    write_whole(order.folder / SETTINGS, settings_text(findings).encode())
    return tables.assumed


def _name(folder: Path) -> str:
    name = folder.resolve().name.lower().replace("_", "-")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise UserError(f"{folder.resolve().name!r} cannot name a product: use letters, digits and hyphens")
    return name


def _open(order: Order) -> Tables:
    """All files, under our names of columns. Raises DataError for a mapping that no file has."""
    given = {path: read(path) for path in (order.pairs, order.log, order.candidates) if path}
    for theirs, ours in order.columns.items():
        if not any(theirs in table.columns for table in given.values()):
            known = "; ".join(f"{table.name}: {', '.join(table.columns)}" for table in given.values())
            raise DataError(f"--map {theirs}={ours}: no file has a column {theirs!r}; there are {known}")
    renamed = {path: table.renamed(order.columns) for path, table in given.items()}
    pairs, log, candidates = (renamed[path] if path else None for path in (order.pairs, order.log, order.candidates))
    tables = Tables(pairs, log, candidates)
    _note_unused(tables)
    return tables


def _note_unused(tables: Tables) -> None:
    actions = actions_of(tables.log) if tables.log else ()
    known = {
        "pairs": (PAIR_COLUMNS, PAIR_PREFIXES),
        "log": ((*LOG_COLUMNS, *actions), LOG_PREFIXES),
        "candidates": (("candidate_id", "candidate"), ("candidate.",)),
    }
    for kind, (names, prefixes) in known.items():
        table: Table | None = getattr(tables, kind)
        unused = (
            [each for each in table.columns if each not in names and not each.startswith(prefixes)] if table else []
        )
        if table and unused:
            tables.assumed.append(f"{table.name}: not used: {', '.join(unused)} (--map {unused[0]}=OURS uses one)")


def _policy(order: Order, name: str, tables: Tables) -> bytes:
    """The document that was given, or a template. Raises DataError for a graded dimension that it does not have."""
    graded = graded_dimensions(tables.pairs) if tables.pairs else {}
    if order.policy:
        policy = read_policy(order.policy)
        for dimension, column in graded.items():
            if dimension not in (*policy.dimension_names, OVERALL):
                known = ", ".join(policy.dimension_names)
                table = tables.pairs.name if tables.pairs else ""
                raise DataError(f"{table}: column {column!r}: {policy.label} has no such dimension; it has {known}")
        return order.policy.read_bytes()
    text = policy_template(name, list(graded))
    parse_policy(text, "policy.md")
    kept = (order.folder / "policy.md").exists()
    tables.assumed.append("policy.md: kept as it is" if kept else "policy.md: a template; replace its sentences")
    return text.encode()


def _findings(order: Order, name: str, tables: Tables, speed: Callable[[Path], float]) -> Findings:
    def relative(path: Path | None) -> str:
        return os.path.relpath(path.resolve(), order.folder.resolve()) if path else ""

    encoder = order.encoder or shipped_bundle()
    given = {"pairs": order.pairs, "log": order.log, "candidates": order.candidates}
    # The folder does not exist yet, so nothing can be found from it.
    whole = Files(**{name: str(path.resolve()) if path else "" for name, path in given.items()})
    log = _log(tables)
    authority = _raters(tables)
    settings = DataSettings(
        files=whole,
        columns=dict(order.columns),
        authority=authority,
        dimensions=(),
        log=log,
        by_time=_is_by_time(tables),
        valid=0.1,
        test=0.2,
        candidates_per_list=CANDIDATES_PER_LIST,
        unlabelled_lists=0,
        seed=0,
    )
    data = SourceFiles(order.folder)
    rows, shown = graded_rows(settings, data), shown_candidates(settings, data)
    further = catalogue(settings, data)
    both: list[GradedRow | ShownCandidate] = [*rows, *shown]
    members: list[Content] = list({each.member_id: each.member for each in both}.values())
    candidates: list[Content] = list({each.candidate_id: each.candidate for each in both}.values())
    formats = {side: _formats(tables, side) for side in ("member", "candidate")}
    template = Template(member=formats["member"], candidate=formats["candidate"])
    member_tokens = _window("member", map(template.render_member, members), tables)
    candidate_tokens = _window("candidate", map(template.render_candidate, candidates), tables)
    valid, test = _shares(len(members), tables)
    size = product_size(
        replace(settings, valid=valid, test=test), rows, shown, bool(further), (member_tokens, candidate_tokens)
    )
    steps = allowed_steps(size, order.hours, speed(encoder))
    teacher = steps.teacher if size.graded else steps.engagement
    tables.assumed.append(
        f"{order.hours:g} hours: {teacher} steps of the teacher, {steps.annotated_lists} lists for the student,"
        f" {steps.unlabelled_lists} of them from the catalogue"
    )
    return Findings(
        name=name,
        encoder=relative(order.encoder),
        files=Files(**{name: relative(path) for name, path in given.items()}),
        columns=dict(order.columns),
        member=formats["member"],
        candidate=formats["candidate"],
        member_tokens=member_tokens,
        candidate_tokens=candidate_tokens,
        authority=authority,
        dimensions=_head_dimensions(rows, tables),
        log=log,
        split_by="time" if settings.by_time else "member",
        valid=valid,
        test=test,
        hours=order.hours,
        steps=steps,
        lists_per_step=size.lists_per_step,
        candidates_per_list=CANDIDATES_PER_LIST,
        attributions=start_attributions(encoder),
        features=_features(tables),
    )


def _features(tables: Tables) -> tuple[Feature, ...]:
    found = suggested_features([each for each in (tables.pairs, tables.log) if each])
    if found:
        ranges = ", ".join(f"{each.name} {each.low:g} to {each.high:g}" for each in found)
        tables.assumed.append(f"features: {ranges}; give each its unit, range and default in product.toml")
    return found


def _log(tables: Tables) -> Log:
    if tables.log is None:
        return Log()
    actions = actions_of(tables.log)
    if not actions:
        raise DataError(
            f"{tables.log.name}: no row has an action: write click, or another word, into `action`, or give a column of"
            " 0 and 1 for each action"
        )
    if "position" not in tables.log.columns:
        tables.assumed.append(f"{tables.log.name}: no `position`: candidates count as seen in any order")
        return Log(actions=actions)
    places = whole_numbers(tables.log, "position", range(1, 100_000), "position")
    return Log(actions=actions, places=min(MOST_PLACES, max((place or 1 for place in places), default=1)))


def _is_by_time(tables: Tables) -> bool:
    """A log alone with times is held out as it will be used: later lists."""
    is_timed = tables.pairs is None and tables.log is not None and "time" in tables.log.columns
    if is_timed and tables.log and "split" not in tables.log.columns:
        tables.assumed.append(f"{tables.log.name}: the latest lists are held out, by `time` (split.by)")
    return is_timed


def _raters(tables: Tables) -> tuple[str, ...]:
    if tables.pairs is None or "rater" not in tables.pairs.columns:
        return ("rater",)
    found = sorted(
        {str(each).strip() or "rater" for each in tables.pairs.values("rater") if each is not None} or {"rater"}
    )
    if len(found) > 1:
        tables.assumed.append(f"where raters differ, the first of {', '.join(found)} decides (grades.authority)")
    return tuple(found)


def _formats(tables: Tables, side: Side) -> tuple[FieldFormat, ...]:
    """Fields in the order of the files, pairs first."""
    names = dict.fromkeys(name for table in tables.all if has_side(table, side) for name in fields_of(table, side))
    return tuple(
        FieldFormat(name=name, label="" if name.lower() in PLAIN else name.replace("_", " ")) for name in names
    )


def _window(side: Side, texts: Iterable[str], tables: Tables) -> int:
    words = [len(text.split()) for text in texts]
    wanted = float(np.quantile(words, 0.95)) * TOKENS_PER_WORD
    window = int(min(256, max(16, -(-wanted // 16) * 16)))
    cut = float(np.mean(np.array(words) * TOKENS_PER_WORD > window))
    tables.assumed.append(f"{side}s: {window} tokens are read; about {cut:.0%} of the texts are longer")
    return window


def _shares(members: int, tables: Tables) -> tuple[float, float]:
    if members >= FEW_MEMBERS:
        return 0.1, 0.2
    tables.assumed.append(f"{members} members are few: 20 % are held out for validation and 30 % for tests")
    return 0.2, 0.3


def _head_dimensions(rows: Sequence[GradedRow], tables: Tables) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for each in rows:
        for name in each.grades:
            counts[name] = counts.get(name, 0) + 1
    few = [f"{name} ({count})" for name, count in counts.items() if name != OVERALL and count < HEAD_GRADES]
    if few:
        tables.assumed.append(f"no head of their own, for under {HEAD_GRADES} grades: {', '.join(few)}")
    return tuple(name for name, count in counts.items() if name != OVERALL and count >= HEAD_GRADES)
