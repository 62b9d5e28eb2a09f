"""Locust over the same mix: many clients that pause between requests. Prints locust's table and one JSON line.

Closed loop per user: when the server stalls, so do arrivals. Use it to watch a service live, and `open_loop` for
latencies. Run as `locust -f load_tests/locustfile.py --headless -u 8 -t 30s --host URL`; `--mix-seed` sets the seed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from locust import FastHttpUser, between, events, task
from locust.env import Environment

# Locust loads this file by its path; the packages are in the repository's root.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from load_tests.payloads import Call, call, scored_pairs
from load_tests.report import json_line
from load_tests.traffic import Mix, first

NUM_REQUESTS = 300


@events.init_command_line_parser.add_listener
def add_options(parser: argparse.ArgumentParser) -> None:
    """Options in addition to locust's."""
    parser.add_argument("--mix-seed", type=int, default=0, help="the seed of the traffic")
    parser.add_argument("--deadline-ms", type=int, default=None, help="sent with each request")


@events.init.add_listener
def make_traffic(environment: Environment, **_: object) -> None:
    """Make all requests before the first is sent; users take them in turn."""
    options = environment.parsed_options
    calls = [call(request, "score", options.deadline_ms) for request in first(Mix(seed=options.mix_seed), NUM_REQUESTS)]
    environment.fitscore_calls = cycle(calls)
    environment.fitscore_pairs = 0
    environment.fitscore_outcomes = Counter()


class Ranker(FastHttpUser):
    """A ranking back end: page views with pauses between them."""

    wait_time = between(0.05, 0.5)

    @task
    def score(self) -> None:
        """Score one list. Its name has the size, so that the table shows latency by size."""
        calls: Iterator[Call] = self.environment.fitscore_calls
        request = next(calls)
        headers = {"Content-Type": "application/json"}
        answer = self.client.post(request.path, data=request.body, headers=headers, name=f"/score x{request.num_pairs}")
        self.environment.fitscore_pairs += scored_pairs(request, answer.status_code, answer.content or b"")
        self.environment.fitscore_outcomes[str(answer.status_code)] += 1


@events.quitting.add_listener
def print_result(environment: Environment, **_: object) -> None:
    """Print the JSON line; the exit code is 1 when a request failed."""
    total = environment.stats.total
    seconds = max((total.last_request_timestamp or 0) - total.start_time, 1e-9)
    latency = {f"p{100 * share:g}": total.get_response_time_percentile(share) for share in (0.5, 0.9, 0.99, 0.999)}
    result = {
        "requests": total.num_requests,
        "failures": total.num_failures,
        "requests_per_s": total.num_requests / seconds,
        "outcomes": dict(environment.fitscore_outcomes),
        "latency_ms": latency,
        "pairs_per_s": environment.fitscore_pairs / seconds,
    }
    line = json_line("locust", result)
    environment.process_exit_code = 1 if total.num_failures or not total.num_requests else 0
    # Locust prints its table between `quitting` and `quit`; the line comes last.
    environment.events.quit.add_listener(lambda **_: print(line, flush=True))
