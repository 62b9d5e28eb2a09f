"""A model's ONNX graphs, written in a precision and opened as serving opens them: what ships is judged and timed."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from models.features import NO_FEATURES
from models.runtime.session import Session
from models.scorers.cross_encoder import CrossEncoderScorer
from models.scorers.split import Block, SplitScorer
from models.text import TextEncoder
from training.compression.onnx_export import traced, write_onnx
from training.compression.quantization import write_int8
from training.data.features import feature_inputs
from training.data.lists import CandidateList
from training.files import read_json, write_json
from training.nets.checkpoints import Student
from training.nets.inference import encode_lists, in_length_order
from training.nets.split_student import SplitStudent
from training.objectives.in_batch_negatives import distinct_candidates

Cost = TypeVar("Cost")
BATCH = 16
TIMED_TEXTS = 64
WARM_CANDIDATES = 250
REPEATS = 5


@dataclass(frozen=True)
class FlatGraphs:
    """The graph of a cross-encoder. Throughput is of `pairs`."""

    scorer: CrossEncoderScorer
    encoder: TextEncoder

    def logits(self, lists: Sequence[CandidateList]) -> np.ndarray:
        """Logits f32[pairs of all lists, H], in order."""
        return _run(encode_lists(self.encoder, lists), self.scorer.pair_logits)

    def throughput(self, lists: Sequence[CandidateList]) -> dict[str, float]:
        """Items per second by kind, from the fastest of a few runs over the same texts."""
        pairs = _spread(encode_lists(self.encoder, lists))
        return {"pairs": len(pairs) / _fastest(lambda: _run(pairs, self.scorer.pair_logits))}


@dataclass(frozen=True)
class SplitGraphs:
    """The graphs of a split student, which encode each distinct candidate once.

    Throughput is of `candidates` to encode, and of `pairs` of a member with encoded candidates.
    """

    scorer: SplitScorer
    encoder: TextEncoder

    def logits(self, lists: Sequence[CandidateList]) -> np.ndarray:
        """Logits f32[pairs of all lists, H], in order."""
        texts = distinct_candidates(lists)
        row = {text: index for index, text in enumerate(texts)}
        slots = _run(self.encoder.candidates(texts), self.scorer.encode_candidates)
        found = []
        for each in tqdm(lists, desc="score", mininterval=5, leave=False):
            state = self.scorer.encode_members([self.encoder.member(each.member)])[0]
            rows = feature_inputs(self.scorer.features, [each])
            block = Block(state, slots[[row[text] for text in each.candidates]], rows)
            found.append(self.scorer.block_logits([block])[0])
        return np.concatenate(found)

    def throughput(self, lists: Sequence[CandidateList]) -> dict[str, float]:
        """Items per second by kind, from the fastest of a few runs over the same texts."""
        texts = _spread(self.encoder.candidates(distinct_candidates(lists)))
        slots = _run(texts, self.scorer.encode_candidates)
        state = self.scorer.encode_members([self.encoder.member(lists[0].member)])[0]
        block = Block(state, slots[np.arange(WARM_CANDIDATES) % len(slots)])
        return {
            "candidates": len(texts) / _fastest(lambda: _run(texts, self.scorer.encode_candidates)),
            "pairs": WARM_CANDIDATES / _fastest(lambda: self.scorer.block_logits([block])),
        }


Graphs = FlatGraphs | SplitGraphs


def write_graphs(student: Student, folder: Path, precision: str) -> None:
    """Write the graphs of one precision: "fp32", "fp16" or "int8". int8 is made from the fp32 files in `folder`."""
    if precision == "int8":
        for part in traced(student):
            write_int8(folder / f"{part.stem}.fp32.onnx", folder / f"{part.stem}.int8.onnx")
        return
    for part in traced(copy.deepcopy(student).half() if precision == "fp16" else student):
        write_onnx(part, folder / f"{part.stem}.{precision}.onnx")


def open_graphs(student: Student, folder: Path, precision: str, encoder: TextEncoder) -> Graphs:
    """A student's graphs of one precision, opened by serving's own scorer without calibration."""
    sessions = {
        part: Session.open((folder / f"{each.stem}.{precision}.onnx").read_bytes(), "cpu", 2)
        for each in traced(student)
        for part in each.parts
    }
    if "pair" in sessions:
        return FlatGraphs(CrossEncoderScorer(sessions["pair"], encoder, ()), encoder)
    features = student.features if isinstance(student, SplitStudent) else NO_FEATURES
    parts = (sessions["member"], sessions["candidate"], sessions["score"])
    return SplitGraphs(SplitScorer(*parts, encoder, (), features), encoder)


def graphs_of(scorer: CrossEncoderScorer | SplitScorer, encoder: TextEncoder) -> Graphs:
    """The graphs of an open bundle."""
    return SplitGraphs(scorer, encoder) if isinstance(scorer, SplitScorer) else FlatGraphs(scorer, encoder)


def measured_once(
    path: Path, cost: type[Cost], measure: Callable[[], tuple[Cost, np.ndarray]]
) -> tuple[Cost, np.ndarray]:
    """A model's cost, a dataclass, and its logits f32[pairs, H], as `measure` returns them.

    Both are kept: in `path` (JSON) and beside it (`.npy`). What is already there is not measured again.
    """
    logits_path = path.with_suffix(".npy")
    if not path.exists():
        found, logits = measure()
        np.save(logits_path, logits)
        write_json(path, dataclasses.asdict(found))  # type: ignore[call-overload]  # a dataclass
    return cost(**read_json(path)), np.load(logits_path)


def _run(items: Sequence[Sized], run: Callable[[list[Any]], np.ndarray]) -> np.ndarray:
    return np.stack(in_length_order(items, run, size=BATCH, progress="run"))


def _spread(items: list[Any]) -> list[Any]:
    """At most TIMED_TEXTS of them, spread from first to last."""
    return items[:: -(-len(items) // TIMED_TEXTS)]


def _fastest(run: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)
