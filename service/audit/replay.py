"""Scores the requests of the audit log again, and compares the probabilities bit for bit.

Texts come from the log's ciphertext, or, for a log of digests, from a file of texts that the owner has kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from models.audit.lines import AuditKeys, segments
from models.audit.sealed import cipher, decrypt
from models.bundle.files import Bundle
from models.errors import BundleError
from models.loading import open_encoder, open_scorer
from models.scorers.interface import Scorer
from models.scorers.long_texts import score_texts
from models.template import Content
from models.text import TextEncoder, Window
from service.registry.catalog import find_bundle

Texts = Mapping[str, Content]


@dataclass
class ReplayResult:
    """Numbers of pairs, the largest difference of a probability, and the ids of the requests that differ."""

    identical: int = 0
    different: int = 0
    without_text: int = 0
    max_difference: float = 0.0
    requests: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Replayer:
    """One version of a model on the CPU."""

    bundle: Bundle
    scorer: Scorer
    encoder: TextEncoder

    @classmethod
    def open(cls, path: Path) -> Replayer:
        """Raises BundleError."""
        bundle = Bundle.load(path)
        return cls(bundle, open_scorer(bundle, "cpu", 1), open_encoder(bundle))

    def rows(
        self,
        member: Content | None,
        candidates: list[Content | None],
        window: Window,
        features: Sequence[NDArray[np.float32] | None],
    ) -> np.ndarray:
        """Probabilities f32[candidates, heads]. `features` are the model's inputs of each candidate that has some."""
        template = self.bundle.manifest.text.template
        ids = self.encoder.member(template.render_member(member))
        texts = [template.render_candidate(each) for each in candidates]
        read = self.encoder.read_candidates(texts, window)
        return score_texts(self.scorer, self.bundle.manifest.best_chunk, [ids] * len(read), read, features)


def texts_of(path: Path, keys: AuditKeys) -> dict[str, Content]:
    """Contents by digest, from a file with one JSON value a line: a text, or an object of fields."""
    with path.open("rb") as lines:
        contents = [orjson.loads(line) for line in lines if line.strip()]
    return {keys.digest_of(each): each for each in contents}


def replay(folder: Path, keys: AuditKeys, models: Path, texts: Texts, *, every: int = 1) -> ReplayResult:
    """Score every `every`-th line again with the model that it names, from the bundles in `models`.

    Raises BundleError, also when no bundle is the model.
    """
    done = ReplayResult()
    opened: dict[tuple[str, str], Replayer] = {}
    for number, line in enumerate(_lines(folder)):
        if number % every:
            continue
        named = (str(line["model"]), str(line["version"]))
        if named not in opened:
            found = find_bundle(models, *named)
            if found is None:
                raise BundleError(f"no bundle of {named[0]} version {named[1]} in {models}")
            opened[named] = Replayer.open(found.path)
        _compare(line, opened[named], _contents(line, keys, texts), done)
    return done


def _lines(folder: Path) -> Iterator[dict[str, object]]:
    for path in segments(folder):
        with path.open("rb") as lines:
            yield from map(orjson.loads, lines)


def _contents(line: dict[str, object], keys: AuditKeys, texts: Texts) -> tuple[Content | None, list[Content | None]]:
    if "sealed" in line:
        member, candidates = decrypt(line, cipher(keys))
        return member, [content for _, content in candidates]
    digests: list[list[str]] = line["candidates"]  # type: ignore[assignment]  # as `LineEncoder.line` writes it
    return texts.get(str(line["member"])), [texts.get(content) for _, content in digests]


def _compare(
    line: dict[str, object], model: Replayer, contents: tuple[Content | None, list[Content | None]], done: ReplayResult
) -> None:
    member, candidates = contents
    statuses, recorded = line["statuses"], line["rows"]
    assert isinstance(statuses, list)
    assert isinstance(recorded, list)
    scored = [place for place, status in enumerate(statuses) if status == "scored"]
    known = [place for place in scored if member is not None and candidates[place] is not None]
    done.without_text += len(scored) - len(known)
    if not known:
        return
    window = Window(*cast("list[Any]", line.get("window", ())))
    features = cast("list[list[float]]", line.get("features", [()] * len(statuses)))
    inputs = [np.array(features[place], np.float32) if features[place] else None for place in known]
    again = model.rows(member, [candidates[place] for place in known], window, inputs)
    before = np.array([recorded[place] for place in known], dtype=np.float32)
    same = (again.view(np.uint32) == before.view(np.uint32)).all(axis=1)
    done.identical += int(same.sum())
    done.different += int((~same).sum())
    done.max_difference = max(done.max_difference, float(np.abs(again - before).max()))
    if not same.all():
        done.requests.append(str(line["request"]))
