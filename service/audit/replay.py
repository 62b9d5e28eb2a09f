"""Scores again what the audit log says was scored, and compares bit for bit.

Texts come out of sealed lines, or, where the log has digests alone, from a file of texts that the owner still has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from models.bundle.files import Bundle
from models.loading import open_encoder, open_scorer
from models.scorers.interface import Scorer
from models.text import Pair, TextEncoder
from service.audit.encryption import cipher, unseal
from service.audit.record import AuditKeys, Content
from service.audit.segments import segments

Texts = Mapping[str, Content]


@dataclass
class Replayed:
    """How many pairs came out how; `largest` is the largest difference of a probability."""

    identical: int = 0
    different: int = 0
    without_text: int = 0
    largest: float = 0.0
    requests: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Replayer:
    """One version of a model, opened as the service opens it."""

    bundle: Bundle
    scorer: Scorer
    encoder: TextEncoder

    @classmethod
    def open(cls, path: Path) -> Replayer:
        """Raises BundleError."""
        bundle = Bundle.load(path)
        return cls(bundle, open_scorer(bundle, "cpu", 1), open_encoder(bundle))

    def rows(self, member: Content, candidates: list[Content]) -> np.ndarray:
        """Probabilities f32[candidates, heads]."""
        template = self.bundle.manifest.text.template
        ids = self.encoder.member(_text(member, template.render_member))
        texts = [_text(each, template.render_candidate) for each in candidates]
        return self.scorer.score([Pair(ids, each) for each in self.encoder.candidates(texts)])


def _text(content: Content, render: object) -> str:
    assert callable(render)
    return content.strip() if isinstance(content, str) else str(render(content or {}))


def texts_of(path: Path, keys: AuditKeys) -> dict[str, Content]:
    """Contents by digest, from a file with one JSON value a line: a text, or fields."""
    with path.open("rb") as lines:
        contents = [orjson.loads(line) for line in lines if line.strip()]
    return {keys.digest_of(each): each for each in contents}


def replay(folder: Path, keys: AuditKeys, models: Path, texts: Texts, *, every: int = 1) -> Replayed:
    """Score each `every`-th line again with the model that it names, out of the bundles in `models`."""
    done = Replayed()
    opened: dict[tuple[str, str], Replayer] = {}
    for number, line in enumerate(_lines(folder)):
        if number % every:
            continue
        named = (str(line["model"]), str(line["version"]))
        if named not in opened:
            opened[named] = Replayer.open(_find(models, *named))
        _compare(line, opened[named], _contents(line, keys, texts), done)
    return done


def _lines(folder: Path) -> Iterator[dict[str, object]]:
    for path in segments(folder):
        with path.open("rb") as lines:
            yield from map(orjson.loads, lines)


def _find(models: Path, name: str, version: str) -> Path:
    for path in sorted(models.glob("*/manifest.json")):
        said = orjson.loads(path.read_bytes())
        if (said["name"], said["version"]) == (name, version):
            return path.parent
    raise FileNotFoundError(f"no bundle of {name} version {version} in {models}")


def _contents(line: dict[str, object], keys: AuditKeys, texts: Texts) -> tuple[Content, list[Content]]:
    if "sealed" in line:
        member, candidates = unseal(line, cipher(keys))
        return member, [content for _, content in candidates]
    digests: list[list[str]] = line["candidates"]  # type: ignore[assignment]  # as `Sealer.line` writes it
    return texts.get(str(line["member"])), [texts.get(content) for _, content in digests]


def _compare(line: dict[str, object], model: Replayer, contents: tuple[Content, list[Content]], done: Replayed) -> None:
    member, candidates = contents
    statuses, said = line["statuses"], line["rows"]
    assert isinstance(statuses, list)
    assert isinstance(said, list)
    scored = [place for place, status in enumerate(statuses) if status == "scored"]
    known = [place for place in scored if member is not None and candidates[place] is not None]
    done.without_text += len(scored) - len(known)
    if not known:
        return
    again = model.rows(member, [candidates[place] for place in known])
    before = np.array([said[place] for place in known], dtype=np.float32)
    same = (again.view(np.uint32) == before.view(np.uint32)).all(axis=1)
    done.identical += int(same.sum())
    done.different += int((~same).sum())
    done.largest = max(done.largest, float(np.abs(again - before).max()))
    if not same.all():
        done.requests.append(str(line["request"]))
