"""The bare loop: repeats the service's recorded runs on bare onnxruntime sessions.

The cost of a run depends on its graph and shapes only, so the arrays are synthetic. Works for any kind of bundle;
several parts may share a file.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.bundle.files import Bundle
from models.loading import graphs_for
from models.runtime.session import DTYPES


@dataclass(frozen=True, slots=True)
class Run:
    """One model run: sha256 of its graph, start, duration, shapes of the inputs."""

    graph: str
    start: float
    seconds: float
    shapes: Mapping[str, Sequence[int]]


class RunLog:
    """The log of `recorded_service`: sessions and runs, in order."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _lines(self) -> list[dict[str, Any]]:
        text = self._file.read_text(encoding="ascii")
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def threads(self) -> int:
        """Threads of the session that was opened last."""
        return int([line["threads"] for line in self._lines() if "threads" in line][-1])

    def runs(self, start: float, end: float) -> list[Run]:
        """Runs that began between two readings of the monotonic clock."""
        return [Run(**line) for line in self._lines() if start <= line.get("start", -1) < end]


class BareLoop:
    """Only `session.run`, on the graphs that the service runs on the CPU, with its threads."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        graphs = graphs_for(bundle, "cpu")
        digests = {part: hashlib.sha256(bundle.contents[graph.file]).hexdigest() for part, graph in graphs.items()}
        tokenizer = bundle.contents[bundle.manifest.text.tokenizer].decode()
        self._num_ids = Tokenizer.from_str(tokenizer).get_vocab_size()
        self._pair_graph = digests.get("pair")
        contents = {digest: bundle.contents[graphs[part].file] for part, digest in digests.items()}
        self._sessions = {digest: _open(graph, threads) for digest, graph in contents.items()}

    def num_pairs(self, run: Run) -> int:
        """Pairs that a run scored, with padding; 0 for a run that encoded one side."""
        if run.graph == self._pair_graph:
            return run.shapes["input_ids"][0]
        return math.prod(run.shapes["slots"][:2]) if "slots" in run.shapes else 0

    def pairs_per_s(self, runs: Sequence[Run]) -> float:
        """Runs all once, in order. Inputs are made, and each graph runs once, before the clock starts."""
        feeds = self.feeds(runs)
        for graph, run in {run.graph: run for run in runs}.items():
            self._sessions[graph].run(None, feeds[_key(run)])
        ready = [(self._sessions[run.graph], feeds[_key(run)]) for run in runs]
        start = time.perf_counter()
        for session, one in ready:
            session.run(None, one)
        return sum(map(self.num_pairs, runs)) / (time.perf_counter() - start)

    def feeds(self, runs: Sequence[Run]) -> dict[str, dict[str, NDArray[Any]]]:
        """Inputs of each kind of run: views of one array per input, as large as the largest run needs."""
        kinds = {_key(run): run for run in runs}
        largest: dict[tuple[str, str], int] = {}
        for run in kinds.values():
            for node in self._sessions[run.graph].get_inputs():
                place = node.name, node.type
                largest[place] = max(largest.get(place, 0), math.prod(run.shapes[node.name]))
        arrays = {(name, kind): _synthetic(name, kind, size, self._num_ids) for (name, kind), size in largest.items()}

        def view(run: Run, node: ort.NodeArg) -> NDArray[Any]:
            shape = run.shapes[node.name]
            return arrays[node.name, node.type][: math.prod(shape)].reshape(shape)

        inputs = {graph: session.get_inputs() for graph, session in self._sessions.items()}
        return {key: {node.name: view(run, node) for node in inputs[run.graph]} for key, run in kinds.items()}


def _open(graph: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # As in the service; spinning threads would also disturb the service's turn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _key(run: Run) -> str:
    """Equal for runs of one graph with the same shapes."""
    return json.dumps([run.graph, run.shapes], sort_keys=True)


def _synthetic(name: str, kind: str, size: int, num_ids: int) -> NDArray[Any]:
    """Random ids and floats, full masks, and tokens of both segments in every row. No sum is empty: NaN may cost more
    or less than numbers.
    """
    random = np.random.default_rng(0)
    if name == "input_ids":
        values: NDArray[Any] = random.integers(0, num_ids, size)
    elif name == "token_type_ids":
        values = np.arange(size) % 2
    else:
        values = np.ones(size) if "int" in kind else random.standard_normal(size)
    return values.astype(DTYPES[kind])
