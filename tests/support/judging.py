"""Pairs to judge and their prompt. As a module: one run of the judge in a process, for a test that kills it.

python -m tests.support.judging ENDPOINT CACHE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from training.judging.answer_cache import AnswerCache, Spending
from training.judging.llm_client import Endpoint
from training.judging.llm_judge import JudgePlan, TextPair, judge_pairs
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.policy.prompt import Prompt

POLICY = read_policy(POLICIES / "demo.md")
PROMPT = Prompt.of(POLICY)
PAIRS = [TextPair(f"m{n}", f"j{n}", "x" * n, "y" * (n % 7)) for n in range(1, 13)]
PLENTY = Spending(tokens=10_000_000, dollars=100.0)


def main() -> None:
    endpoint, path = sys.argv[1:]
    plan = JudgePlan(Endpoint(endpoint, "small", requests_per_second=1000, concurrency=4))
    with AnswerCache(Path(path), PLENTY) as cache:
        asyncio.run(judge_pairs(PAIRS, PROMPT, plan, cache))


if __name__ == "__main__":
    main()
