"""The report's page: self-contained, escaped, and clear about what was not measured."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from models.heads import Calibration
from training.data.lists import CandidateList
from training.evaluation.fairness import audit
from training.evaluation.figures import head_figures
from training.evaluation.html_report import html
from training.evaluation.markdown_report import markdown
from training.evaluation.promotion_gate import decide
from training.evaluation.report import (
    Ablation,
    LossWeightPoint,
    LossWeightSweep,
    Quality,
    Report,
    ShapePoint,
    Variant,
    to_json,
)
from training.evaluation.worst_errors import PairError, WorstErrors
from training.judging.answer_cache import Spending
from training.judging.judge_report import DimensionAgreement, JudgeReport
from training.metrics.bootstrap import Interval
from training.metrics.kappa import Agreement

SHIPPED = "student-int8"
LISTS = [
    CandidateList(
        f"l{i}", "market", f"senior cook {'x' * i}", ("a", "b", "c"), {"relevance": np.array([1.0, 0.5, 0.0])}
    )
    for i in range(18)
]


def report(**changes: Any) -> Report:
    """Figures of made-up scores: the shipped student mostly right, BM25 mostly wrong."""
    random = np.random.default_rng(0)
    good = [np.array([2.0, 0.0, -2.0]) + random.normal(0, 0.8, 3) for _ in LISTS]
    scores = {
        "teacher": good,
        SHIPPED: [each + random.normal(0, 0.3, 3) for each in good],
        "bm25": [-each for each in good],
    }
    point = Interval(0.8, 0.7, 0.9)
    values = np.linspace(0.5, 0.9, 18)
    whole = Report(
        shipped=SHIPPED,
        heads={"relevance": head_figures("relevance", LISTS, scores, {SHIPPED: Calibration()}, SHIPPED)},
        judge=UNMEASURED_JUDGE,
        fairness=audit(LISTS, lambda swapped: np.tile([0.2, 0.5, 0.7], len(swapped))),
        frontier=[ShapePoint("0x0", 90000.0, 768, sources(0.0)), ShapePoint("8x2", 5000.0, 6144, sources(0.02))],
        variants=[variant("unpruned-fp32", 1536, 0.0), variant("pruned-50-int8", 768, -0.02)],
        shares=LossWeightSweep(
            "relevance", "apply", [LossWeightPoint(weight, point, point, weight == 0.3) for weight in (0.0, 0.3)]
        ),
        ablation=[
            Ablation(part, {"relevance NDCG@10": Interval(-0.02, -0.03, -0.01)})
            for part in ("soft labels", "gold anchor")
        ],
        promotion=decide("jobs-v1", values - 0.1, values, [str(number) for number in range(len(values))]),
    )
    return dataclasses.replace(whole, **changes)


def sources(difference: float) -> dict[str, Quality]:
    """Quality of a model whose NDCG@10 differs by this much from another's."""
    ndcg, minus, top1 = (Interval(mean, mean - 0.01, mean) for mean in (0.9 + difference, difference, 1 + difference))
    return {"market": Quality(9, ndcg, minus, top1)}


def variant(name: str, units: int, difference: float) -> Variant:
    return Variant(name, units, 2_500_000, {"candidates": 59.6, "pairs": 8589.2}, sources(difference))


UNMEASURED_JUDGE = JudgeReport(
    measured=False,
    why="no endpoint was given",
    policy="demo-policy@1.0.0#0",
    model=None,
    pairs={},
    spent=Spending(0, 0.0),
    agreement=[DimensionAgreement("skills", None)],
)
MEASURED_JUDGE = dataclasses.replace(
    UNMEASURED_JUDGE,
    measured=True,
    model="a-model",
    pairs={"graded": 90, "malformed": 1},
    agreement=[DimensionAgreement("skills", Agreement(90, 30, 0.4, Interval(0.5, 0.4, 0.6)))],
)
ERRORS = WorstErrors([PairError("market", "<script>alert(1)</script> & co", "pastry\nchef", 0.0, 0.93)], [])


@pytest.fixture(scope="module")
def page() -> str:
    return html("Evaluation of demo", report(), ERRORS)


def test_the_page_loads_nothing(page: str) -> None:
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert "@import" not in page
    assert "url(http" not in page


def test_every_plot_is_inline(page: str) -> None:
    # systems, leads, reliability; slices by length of the member's text, the one kind of several; shapes; shares;
    # ablation; swaps
    assert page.count("<svg") == 10


def test_texts_of_members_are_escaped(page: str) -> None:
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in page


def test_the_judge_has_its_row_measured_or_not(page: str) -> None:
    assert "Not measured: no endpoint was given." in page
    assert "| skills | 0 | not measured | not measured |" in markdown(report())
    measured = report(judge=MEASURED_JUDGE)
    assert "0.500 [0.400, 0.600]" in html("Evaluation of demo", measured, ERRORS)
    assert "| skills | 90 | 0.500 [0.400, 0.600] | 40% |" in markdown(measured)


def test_prompting_has_its_row_and_says_that_it_was_not_measured(page: str) -> None:
    assert re.search(r"<td>prompting</td><td[^>]*>not measured", page)
    assert "| prompting | - | not measured" in markdown(report())


def test_a_measured_judge_is_nowhere_called_unmeasured() -> None:
    measured = report(judge=MEASURED_JUDGE)
    for text in (html("Evaluation of demo", measured, ERRORS), markdown(measured)):
        assert "not measured" not in text


def test_each_system_has_its_own_count_of_lists() -> None:
    some = dataclasses.replace(report())
    rows = some.heads["relevance"].sources["market"]
    few = dataclasses.replace(rows, read={**rows.read, "teacher": 5})
    heads = {"relevance": dataclasses.replace(some.heads["relevance"], sources={"market": few})}
    text = markdown(dataclasses.replace(some, heads=heads))
    assert "| teacher | 5 |" in text
    assert "| bm25 | 18 |" in text
    assert "Brier skill" in text


def test_a_refused_promotion_comes_first(page: str) -> None:
    assert page.index("Not promoted.") < page.index("NDCG@10 and MRR look at")


NOT_DONE: dict[str, Any] = {
    "fairness": None,
    "frontier": [],
    "shares": None,
    "ablation": [],
    "variants": [],
    "promotion": None,
}


def test_shapes_are_compared_with_the_first(page: str) -> None:
    text = markdown(report())
    assert "| shape | NDCG@10 market | minus 0x0 | pairs/s | bytes |" in text
    assert "| 8x2 | 0.920 | +0.020 [+0.010, +0.020] | 5,000 | 6,144 |" in text
    assert "8x2</text>" in page


def test_ablations_are_listed(page: str) -> None:
    assert "| soft labels | -0.020 [-0.030, -0.010] |" in markdown(report())
    assert "without soft labels" in page


def test_variants_are_listed_with_cost_and_quality(page: str) -> None:
    text = markdown(report())
    assert "| pruned-50-int8 | 768 | 2.5 | 60 | 8,589 |" in text
    assert "| on market (9 lists) | NDCG@10 | minus unpruned-fp32 | same first choice |" in text
    cells = ["0.880 [0.870, 0.880]", "-0.020 [-0.030, -0.020]", "0.980 [0.970, 0.980]"]
    assert f"| pruned-50-int8 | {' | '.join(cells)} |" in text
    assert '<td>pruned-50-int8</td><td class="number">768</td><td class="number">2.5</td>' in page
    assert "".join(f'<td class="number">{cell}</td>' for cell in cells) in page


def test_parts_that_did_not_run_are_left_out_or_named() -> None:
    bare = html("Evaluation", report(**NOT_DONE), WorstErrors([], []))
    assert 'id="compression"' not in bare
    assert "Compression" not in markdown(report(**NOT_DONE))
    assert "Nothing is live yet" in bare
    assert "Not audited in this run." in bare
    assert 'id="frontier"' not in bare
    assert 'id="shapes"' not in bare
    assert 'id="ablation"' not in bare


def test_the_page_is_deterministic_and_kappa_is_that_of_the_shipped_student(page: str) -> None:
    systems = report().heads["relevance"].sources["market"].systems
    assert systems[SHIPPED]["kappa"].low > 0.4
    assert "kappa" not in systems["bm25"]
    assert html("Evaluation of demo", report(), ERRORS) == page


def test_the_report_comes_back_from_its_json() -> None:
    found = to_json(Report, report())
    assert found["frontier"][1]["sources"]["market"]["ndcg@10"] == {"mean": 0.92, "low": 0.91, "high": 0.92}
    assert found["promotion"].keys() == {"live", "difference", "promoted", "sentence"}
    assert TypeAdapter(Report).validate_python(json.loads(json.dumps(found))) == report()
