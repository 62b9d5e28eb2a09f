"""What was really shown: a sample of the service's audit log to grade, and the rate of poor matches in it.

Read are lines whose texts are sealed and whose writer allowed grading (FITSCORE_AUDIT_GRADING=on). A pair was shown if
its score is among the first of its request. Each such pair has the same chance. Knows neither judge nor service.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.audit.lines import AuditKeys, BadLine, checked_lines
from models.audit.sealed import CannotEncrypt, cipher, decrypt
from models.template import Template
from training.errors import UserError
from training.judging.llm_judge import TextPair
from training.metrics.bootstrap import Interval
from training.metrics.cluster_bootstrap import clustered_interval
from training.policy.policy import OVERALL, POOR


class LiveLogError(UserError):
    """An audit log that cannot be sampled; the sentence says what to do."""


@dataclass(frozen=True)
class LivePlan:
    """An audit log, the file of its secret, the pairs to draw, and the candidates of a request that are shown."""

    folder: Path
    key: Path
    pairs: int = 300
    shown: int = 10


@dataclass(frozen=True)
class PoorMatches:
    """The rate of poor matches among the shown pairs that were graded, and in how many requests they were."""

    rate: Interval
    pairs: int
    requests: int

    def sentence(self) -> str:
        """For people."""
        return (
            f"Poor matches among what was shown: {self.rate:.1%} of {self.pairs} graded pairs in"
            f" {self.requests} requests (overall grade 0 to {POOR}; 95 % interval by requests)."
        )


def live_pairs(plan: LivePlan, product: str, template: Template) -> list[TextPair]:
    """A random sample of the shown pairs of a product. The same log gives the same sample; `member_id` is the request.

    Raises LiveLogError for a log that was changed, holds no texts, or whose writer did not allow grading.
    """
    try:
        keys = AuditKeys.of(plan.key.read_bytes().strip())
        unseal = cipher(keys)
        drawn = heapq.nsmallest(plan.pairs, _shown(plan, product, keys), key=lambda each: each[0])
    except BadLine as fault:
        raise LiveLogError(f"{plan.folder}: {fault}") from None
    except CannotEncrypt as error:
        raise LiveLogError(str(error)) from None
    except OSError as error:
        raise LiveLogError(f"{error.filename} cannot be read: {error.strerror}") from None
    if not drawn:
        raise LiveLogError(
            f"{plan.folder} has no line of {product} that may be graded: run the service with"
            " FITSCORE_AUDIT_TEXTS=sealed and FITSCORE_AUDIT_GRADING=on"
        )
    pairs = []
    for _, line, place in drawn:
        member, candidates = decrypt(line, unseal)
        name, content = candidates[place]
        texts = template.render_member(member), template.render_candidate(content)
        pairs.append(TextPair(f"{line['request']}#{line['number']}", f"{name}#{place}", *texts))
    return pairs


def _shown(plan: LivePlan, product: str, keys: AuditKeys) -> Iterator[tuple[bytes, dict[str, Any], int]]:
    """Each shown pair: its place in a random order, its line, and its candidate's place in the request."""
    for line in checked_lines(plan.folder, keys.chain):
        if line["model"] != product or "sealed" not in line or not line.get("grading"):
            continue
        scores, statuses = line["scores"], line["statuses"]
        assert isinstance(scores, list)
        assert isinstance(statuses, list)
        scored = [place for place, status in enumerate(statuses) if status == "scored"]
        for place in sorted(scored, key=lambda place: -scores[place])[: plan.shown]:
            yield hashlib.sha256(f"{line['mac']} {place}".encode()).digest(), line, place


def poor_matches(grades: pl.DataFrame) -> PoorMatches | None:
    """The rate by the overall grades; None where there are none. Pairs of one request are drawn together."""
    overall = grades.filter((pl.col("dimension") == OVERALL) & pl.col("grade").is_not_null())
    if not overall.height:
        return None
    poor = (overall["grade"] <= POOR).to_numpy().astype(np.float64)
    sums = np.stack([poor, np.ones_like(poor)], axis=1)[None]
    requests = overall["member_id"].to_list()
    rate = clustered_interval([sums], requests, lambda totals: totals[:, 0] / totals[:, 1])
    return PoorMatches(rate, overall.height, len(set(requests)))
