"""The report's page: whole in itself, escaped, and plain about what was not measured."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from models.heads import Calibration
from training.data.lists import CandidateList
from training.evaluation.fairness import audit
from training.evaluation.figures import head_figures
from training.evaluation.html_report import html
from training.evaluation.markdown_report import markdown
from training.evaluation.promotion_gate import decide
from training.evaluation.worst_errors import Break

SHIPPED = "student-int8"
LISTS = [
    CandidateList(
        f"l{i}", "market", f"senior cook {'x' * i}", ("a", "b", "c"), {"relevance": np.array([1.0, 0.5, 0.0])}
    )
    for i in range(18)
]


def report(**changes: Any) -> dict[str, Any]:
    """Figures of made-up scores: the shipped student mostly right, BM25 mostly wrong."""
    random = np.random.default_rng(0)
    good = [np.array([2.0, 0.0, -2.0]) + random.normal(0, 0.8, 3) for _ in LISTS]
    scores = {
        "teacher": good,
        SHIPPED: [each + random.normal(0, 0.3, 3) for each in good],
        "bm25": [-each for each in good],
    }
    point = {"mean": 0.8, "low": 0.7, "high": 0.9}
    values = np.linspace(0.5, 0.9, 18)
    decision = decide("jobs-v1", values - 0.1, values)
    return {
        "shipped": SHIPPED,
        "heads": {"relevance": head_figures("relevance", LISTS, scores, {SHIPPED: Calibration()}, SHIPPED)},
        "fairness": audit(LISTS, lambda told: np.tile([0.2, 0.5, 0.7], len(told))),
        "frontier": [shape("0x0", 90000.0, 768, 0.0), shape("8x2", 5000.0, 6144, 0.02)],
        "variants": VARIANTS,
        "shares": {
            "relevance": "relevance",
            "engagement": "apply",
            "points": [{"weight": w, "relevance": point, "engagement": point, "chosen": w == 0.3} for w in (0.0, 0.3)],
        },
        "ablation": [
            {"without": lever, "minus_whole": {"relevance NDCG@10": {"mean": -0.02, "low": -0.03, "high": -0.01}}}
            for lever in ("soft labels", "gold anchor")
        ],
        "promotion": {**dataclasses.asdict(decision), "sentence": decision.sentence},
        "judge": UNMEASURED_JUDGE,
        **changes,
    }


def sources(difference: float) -> dict[str, Any]:
    """How a model ranks, whose NDCG@10 is this much off that of another."""
    figures = {"ndcg@10": 0.9 + difference, "minus_reference": difference, "top1": 1 + difference}
    intervals = {key: {"mean": value, "low": value - 0.01, "high": value} for key, value in figures.items()}
    return {"market": {"lists": 9, **intervals}}


def shape(name: str, pairs_per_second: float, slot_bytes: int, difference: float) -> dict[str, Any]:
    """A row of `frontier.json`."""
    cost = {"pairs_per_second": pairs_per_second, "slot_bytes": slot_bytes}
    return {"name": name, **cost, "sources": sources(difference)}


def variant(name: str, units: int, difference: float) -> dict[str, Any]:
    """A row of `variants.json`."""
    pace = {"candidates": 59.6, "pairs": 8589.2}
    return {"name": name, "units": units, "size": 2_500_000, "pace": pace, "sources": sources(difference)}


VARIANTS = [variant("unpruned-fp32", 1536, 0.0), variant("pruned-50-int8", 768, -0.02)]
UNMEASURED_JUDGE: dict[str, Any] = {
    "measured": False,
    "why": "no endpoint was given",
    "model": None,
    "pairs": {},
    "spent": {"tokens": 0, "dollars": 0.0},
    "agreement": [{"dimension": "skills", "agreement": None}],
}
MEASURED_JUDGE = {
    **UNMEASURED_JUDGE,
    "measured": True,
    "model": "a-model",
    "pairs": {"graded": 90, "malformed": 1},
    "agreement": [
        {
            "dimension": "skills",
            "agreement": {"pairs": 90, "exact": 0.4, "kappa": {"mean": 0.5, "low": 0.4, "high": 0.6}},
        }
    ],
}
BREAKS = {
    "Held too high": [Break("market", "<script>alert(1)</script> & co", "pastry\nchef", 0.0, 0.93)],
    "Held too low": [],
}


@pytest.fixture(scope="module")
def page() -> str:
    return html("Evaluation of demo", report(), BREAKS)


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
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


def test_the_judge_has_its_column_measured_or_not(page: str) -> None:
    assert "Not measured: no endpoint was given." in page
    assert "| skills | 0 | not measured | not measured |" in markdown(report())
    measured = report(judge=MEASURED_JUDGE)
    assert "0.500 [0.400, 0.600]" in html("Evaluation of demo", measured, BREAKS)
    assert "| skills | 90 | 0.500 [0.400, 0.600] | 40% |" in markdown(measured)


def test_prompting_has_its_row_and_says_that_it_was_not_measured(page: str) -> None:
    assert re.search(r"<td>prompting</td><td[^>]*>not measured", page)
    assert "| prompting | not measured" in markdown(report())


def test_a_student_that_is_not_promoted_is_said_first(page: str) -> None:
    assert page.index("Not promoted.") < page.index("NDCG@10 and MRR look at")


NOT_DONE: dict[str, Any] = {
    "fairness": None,
    "frontier": None,
    "shares": None,
    "ablation": [],
    "variants": [],
    "promotion": None,
}


def test_shapes_are_told_beside_the_first(page: str) -> None:
    text = markdown(report())
    assert "| slots x joint layers | NDCG@10 market | minus 0x0 | pairs/s | bytes |" in text
    assert "| 8x2 | 0.920 | +0.020 [+0.010, +0.020] | 5,000 | 6,144 |" in text
    assert "8x2</text>" in page


def test_levers_that_were_turned_off_are_told(page: str) -> None:
    assert "| soft labels | -0.020 [-0.030, -0.010] |" in markdown(report())
    assert "without soft labels" in page


def test_variants_are_told_with_what_they_cost_and_earn(page: str) -> None:
    text = markdown(report())
    assert "| pruned-50-int8 | 768 | 2.5 | 60 | 8,589 |" in text
    assert "| on market (9 lists) | NDCG@10 | minus unpruned-fp32 | same first choice |" in text
    cells = ["0.880 [0.870, 0.880]", "-0.020 [-0.030, -0.020]", "0.980 [0.970, 0.980]"]
    assert f"| pruned-50-int8 | {' | '.join(cells)} |" in text
    assert '<td>pruned-50-int8</td><td class="number">768</td><td class="number">2.5</td>' in page
    assert "".join(f'<td class="number">{cell}</td>' for cell in cells) in page


def test_what_was_not_done_is_left_out_or_said() -> None:
    bare = html("Evaluation", report(**NOT_DONE), {"Held too high": []})
    assert 'id="compression"' not in bare
    assert "Compression" not in markdown(report(**NOT_DONE))
    assert "Nothing is live yet" in bare
    assert "Not audited in this run." in bare
    assert 'id="frontier"' not in bare
    assert 'id="shapes"' not in bare
    assert 'id="ablation"' not in bare


def test_the_shipped_student_agrees_with_gold_and_the_same_figures_give_the_same_page(page: str) -> None:
    systems = report()["heads"]["relevance"]["sources"]["market"]["systems"]
    assert systems[SHIPPED]["kappa"]["low"] > 0.4
    assert "kappa" not in systems["bm25"]
    assert html("Evaluation of demo", report(), BREAKS) == page
