"""Step `judge`: a large model grades golden pairs by the policy; its agreement with gold is the prompting baseline.

    grades.parquet  member_id | candidate_id | dimension | grade | reason | status | asks | model | policy
    judge.json      whether prompting was measured; status of the pairs, cost, agreement with gold per dimension

Without an endpoint nothing is graded, and the report says that prompting was not measured.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from training.judging.answer_cache import AnswerCache
from training.judging.golden_set import read_golden
from training.judging.llm_judge import (
    JudgePlan,
    check_answered,
    grade_table,
    judge_pairs,
    judge_report,
    not_measured,
    some_pairs,
    write_judge_report,
)
from training.policy.parser import read_policy
from training.policy.policy import Policy
from training.policy.prompt import Prompt
from training.step_runner import Resources, Step


@dataclass(frozen=True)
class JudgeInputs:
    policy: Path
    golden: Path


def judge(plan: JudgePlan, inputs: JudgeInputs, out: Path, resources: Resources) -> None:
    """Grade golden pairs and write the report. Answers are kept outside the step's folder: they were paid for."""
    resources.shared.mkdir(exist_ok=True)
    policy = read_policy(inputs.policy / "policy.md")
    judge_golden(plan, policy, inputs.golden, resources.shared / "judge.sqlite", out)


def judge_golden(plan: JudgePlan, policy: Policy, golden: Path, answers_file: Path, out: Path) -> None:
    """Grade the pairs in the folder `golden` and write the report to `out`.

    Raises JudgeStopped, EndpointRefused, PolicyMismatch or DataError.
    """
    gold = read_golden(golden / "golden.parquet", policy)
    if plan.endpoint is None:
        write_judge_report(out, not_measured(gold, policy))
        return
    with AnswerCache(answers_file, plan.budget) as answers:
        judgements = asyncio.run(judge_pairs(some_pairs(gold, plan.pairs), Prompt.of(policy), plan, answers))
        spent = answers.spent()
    check_answered(judgements)
    grades = grade_table(judgements, policy, plan.endpoint.model)
    grades.write_parquet(out / "grades.parquet")
    write_judge_report(out, judge_report(judgements, grades, gold, policy, plan.endpoint.model, spent))


JUDGE = Step("judge", lambda recipe: recipe.data.judge, JudgeInputs, judge)
