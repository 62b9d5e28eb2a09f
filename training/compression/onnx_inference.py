"""A model's graphs, written in a precision and opened as serving opens them: what ships is judged and timed."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from models.runtime.session import Session
from models.scorers.cross_encoder import CrossEncoderScorer
from models.scorers.split import Block, SplitScorer
from models.text import TextEncoder
from training.compression.onnx_export import traced, write_onnx
from training.compression.quantization import write_int8
from training.data.lists import CandidateList
from training.nets.checkpoints import Student
from training.nets.cross_encoder import CrossEncoder, encode_lists

Cost = TypeVar("Cost")
BATCH = 16
PACE_TEXTS = 64
WARM_CANDIDATES = 250
REPEATS = 5


def write_graphs(student: Student, folder: Path, precision: str) -> None:
    """Write the graphs of one precision, "fp32", "fp16" or "int8"; int8 is made of those in fp32, which stand there."""
    if precision == "int8":
        for part in traced(student):
            write_int8(folder / f"{part.stem}.fp32.onnx", folder / f"{part.stem}.int8.onnx")
        return
    for part in traced(copy.deepcopy(student).half() if precision == "fp16" else student):
        write_onnx(part, folder / f"{part.stem}.{precision}.onnx")


def open_graphs(
    student: Student, folder: Path, precision: str, encoder: TextEncoder
) -> CrossEncoderScorer | SplitScorer:
    """The scorer that serving would open on a student's graphs of one precision; it has no calibration."""
    sessions = {
        part: Session.open((folder / f"{each.stem}.{precision}.onnx").read_bytes(), "cpu", 2)
        for each in traced(student)
        for part in each.parts
    }
    if isinstance(student, CrossEncoder):
        return CrossEncoderScorer(sessions["pair"], encoder, ())
    return SplitScorer(sessions["member"], sessions["candidate"], sessions["score"], encoder, ())


def graph_logits(
    scorer: CrossEncoderScorer | SplitScorer, encoder: TextEncoder, lists: Sequence[CandidateList]
) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order; a split scorer reads each distinct candidate once."""
    if isinstance(scorer, CrossEncoderScorer):
        return by_length(encode_lists(encoder, lists), scorer.pair_logits)
    texts = list(dict.fromkeys(text for each in lists for text in each.candidates))
    place = {text: row for row, text in enumerate(texts)}
    slots = by_length(encoder.candidates(texts), scorer.encode_candidates)
    found = []
    for each in tqdm(lists, desc="score", mininterval=5, leave=False):
        state = scorer.encode_members([encoder.member(each.member)])[0]
        found.append(scorer.block_logits([Block(state, slots[[place[text] for text in each.candidates]])])[0])
    return np.concatenate(found)


def by_length(items: Sequence[Sized], run: Callable[[list[Any]], np.ndarray]) -> np.ndarray:
    """`run` over all items in batches of like length; its rows in the order of the items."""
    order = sorted(range(len(items)), key=lambda index: len(items[index]))
    found: dict[int, np.ndarray] = {}
    for start in tqdm(range(0, len(order), BATCH), desc="run", mininterval=5, leave=False):
        chosen = order[start : start + BATCH]
        found.update(zip(chosen, run([items[index] for index in chosen]), strict=True))
    return np.stack([found[index] for index in range(len(items))])


def pace(
    scorer: CrossEncoderScorer | SplitScorer, encoder: TextEncoder, lists: Sequence[CandidateList]
) -> dict[str, float]:
    """How much a second, the fastest of a few runs over the same texts: `pairs` (of a split scorer: a member with warm
    candidates) and, of a split scorer, `candidates` that are encoded.
    """
    if isinstance(scorer, CrossEncoderScorer):
        pairs = _spread(encode_lists(encoder, lists))
        return {"pairs": len(pairs) / _fastest(lambda: by_length(pairs, scorer.pair_logits))}
    texts = _spread(encoder.candidates(list(dict.fromkeys(text for each in lists for text in each.candidates))))
    slots = by_length(texts, scorer.encode_candidates)
    state = scorer.encode_members([encoder.member(lists[0].member)])[0]
    block = Block(state, slots[np.arange(WARM_CANDIDATES) % len(slots)])
    return {
        "candidates": len(texts) / _fastest(lambda: by_length(texts, scorer.encode_candidates)),
        "pairs": WARM_CANDIDATES / _fastest(lambda: scorer.block_logits([block])),
    }


def measured_once(
    path: Path, cost: type[Cost], measure: Callable[[], tuple[Cost, np.ndarray]]
) -> tuple[Cost, np.ndarray]:
    """What `measure` finds: a model's cost, a dataclass, and its logits f32[pairs, H]. They are kept in `path` (JSON)
    and beside it (`.npy`); what stands there is not measured again.
    """
    logits_path = path.with_suffix(".npy")
    if not path.exists():
        found, logits = measure()
        np.save(logits_path, logits)
        unfinished = path.with_suffix(".partial")
        unfinished.write_text(json.dumps(dataclasses.asdict(found)) + "\n", encoding="utf-8")  # type: ignore[call-overload]  # a dataclass
        unfinished.replace(path)
    return cost(**json.loads(path.read_text(encoding="utf-8"))), np.load(logits_path)


def _spread(items: list[Any]) -> list[Any]:
    """At most PACE_TEXTS of them, from first to last."""
    return items[:: -(-len(items) // PACE_TEXTS)]


def _fastest(run: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)
