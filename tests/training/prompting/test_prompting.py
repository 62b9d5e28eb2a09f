"""Prompting, measured: the likelihoods of a causal model by hand, kept scores, and the large judge's agreement."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.template import FieldFormat, Template
from tests.support.decoders import write_tiny_decoder
from training.data.lists import FieldList
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.evaluation.systems.stored import stored_system
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.prompting.__main__ import main
from training.prompting.agreement import of_two_runs, second_run_line, with_people
from training.prompting.causal_lm import Asked, CausalLm, NoModel
from training.prompting.lists import HUMAN_PAIRS, JudgedTwice, human_judged, judged_twice
from training.prompting.prompts import PROMPTS
from training.prompting.systems import PromptedScores

TEMPLATE = Template(member=(FieldFormat(name="query"),), candidate=(FieldFormat(name="title"),))
WORDS = (
    "Product A shopper who wants this product searches for red wool scarf garden hose Is this what asks Answer Yes No"
)
DATA = Path(__file__).parents[4] / "shared" / "data"
JOBS = read_policy(POLICIES / "jobs.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_tiny_decoder(tmp_path_factory.mktemp("lm"), [WORDS]))


def test_a_likelihood_is_the_sum_of_log_probabilities_of_the_continuation(folder: Path) -> None:
    asked = [Asked("Product scarf searches for", " red wool"), Asked("Product hose", " red wool scarf garden")]
    found = CausalLm(folder).likelihoods(asked)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    tokens = 0
    for score, each in zip(found.scores, asked, strict=True):
        prefix, end = (
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in (each.prefix, each.continuation)
        )
        with torch.no_grad():
            logs = torch.log_softmax(model(torch.tensor([prefix + end])).logits[0].float(), dim=-1)
        by_hand = sum(float(logs[len(prefix) - 1 + place, token]) for place, token in enumerate(end))
        assert score == pytest.approx(by_hand, rel=0.02)
        tokens += len(prefix) + len(end)
    assert found.tokens == tokens


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match=f"{tmp_path}: not a folder of a causal language model"):
        CausalLm(tmp_path)


def test_a_text_that_contains_a_placeholder_is_not_filled_in_again() -> None:
    asked = PROMPTS["products"].for_yes_no("{candidate} and {member}", "{member}")
    assert asked.prefix.startswith("A shopper searches for: {candidate} and {member}\n\nA product: {member}\n")


def lists(*names: str) -> list[FieldList]:
    candidates = [{"title": "red wool scarf"}, {"title": "garden hose"}]
    return [FieldList(name, "s", "test", {"query": "red wool scarf"}, candidates, {}) for name in names]


def scores_in(file: Path, folder: Path) -> PromptedScores:
    return PromptedScores(lambda: CausalLm(folder), PROMPTS["products"], TEMPLATE, "likelihood", file)


def no_model() -> CausalLm:
    raise AssertionError("the model is not needed")


def test_scores_are_kept_and_a_killed_run_reads_only_what_is_missing(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    first = scores_in(file, folder).score(lists("a", "b"))["overall"]
    file.write_text(file.read_text() + '{"list_id": "c", "sco')  # killed within a line
    again = scores_in(file, folder)
    assert np.array_equal(again.score(lists("a", "b", "c"))["overall"][:4], first)
    assert [json.loads(line)["list_id"] for line in file.read_text().splitlines()] == ["a", "b", "c"]
    kept = replace(again, model=no_model)
    kept.score(lists("c", "a"))
    tokens, pace = kept.cost(lists("c", "a"))
    assert tokens > 5
    assert pace > 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [("{}", "row 1: not a line of scores"), ("nothing", "row 1: not a line of scores"), ("[]", "row 1: not a line")],
)
def test_a_kept_line_that_cannot_be_used_is_named(folder: Path, tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "kept.jsonl"
    scores_in(file, folder).score(lists("a"))
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(DataError, match=sentence):
        scores_in(file, folder).score(lists("a", "b"))


def test_two_runs_are_compared_where_both_gave_a_grade() -> None:
    fits = dict.fromkeys(JOBS.dimension_names, 4)
    first = (fits, {**fits, "role": 0}, {**fits, "role": None}, {**fits, "skills": 1})
    twice = JudgedTwice(("a", "a", "b", "b"), first, (*first[:3], {**fits, "skills": None}))
    found = {each.dimension: each for each in of_two_runs(twice, JOBS)}
    assert (found["role"].found.pairs, found["role"].null_in_one) == (3, 0)
    assert (found["skills"].found.pairs, found["skills"].null_in_one) == (3, 0.25)
    assert found["role"].found.kappa.mean == 1


def test_the_shipped_second_opinion_agrees_with_the_first() -> None:
    """Close to what SOURCE.md states over 868 pairs, of which 826 ship."""
    twice = judged_twice(JOBS)
    found = {each.dimension: each.found.kappa.mean for each in of_two_runs(twice, JOBS)}
    assert len(twice.members) == 826
    for name, kappa in {"role": 0.95, "skills": 0.94, "seniority": 0.90, "domain": 0.92, "constraints": 0.92}.items():
        assert found[name] == pytest.approx(kappa, abs=0.02), name
    second = second_run_line(twice, JOBS)
    assert second is not None
    assert second.found.mean == pytest.approx(0.978, abs=0.01)


def test_a_second_opinion_on_a_pair_of_no_first_run_is_refused(tmp_path: Path) -> None:
    rows = {"member_id": ["m"], "candidate_id": ["j"], "dimension": ["role"], "grade": [3]}
    pl.DataFrame(rows).write_parquet(tmp_path / "grades.parquet")
    pl.DataFrame({**rows, "candidate_id": ["other"]}).write_parquet(tmp_path / "second_opinion.parquet")
    with pytest.raises(
        DataError, match=r"second_opinion\.parquet: pair 0: the first run did not grade \('m', 'other'\)"
    ):
        judged_twice(JOBS, tmp_path)


needs_data = pytest.mark.skipif(not (DATA / "esci").is_dir(), reason=f"the human labels are not in {DATA}")


@needs_data
def test_the_judge_agrees_with_people_as_its_source_says() -> None:
    policy = read_policy(POLICIES / "products.md")
    found, judge = with_people(human_judged(SourceFiles(DATA), policy), policy)
    assert found.found.pairs == 800
    assert found.found.kappa.mean == pytest.approx(0.55, abs=0.015)
    assert found.found.exact == pytest.approx(0.55, abs=0.015)
    assert len(judge.heads["overall"]) == 100


@needs_data
def test_a_judged_pair_without_a_human_label_is_refused(tmp_path: Path) -> None:
    policy = read_policy(POLICIES / "products.md")
    table = pl.read_parquet(HUMAN_PAIRS)
    foreign = table[:1].with_columns(pl.lit("NONE").alias("doc_id"))
    pl.concat([table, foreign]).write_parquet(tmp_path / "pairs.parquet")
    with pytest.raises(DataError, match=r"pairs\.parquet: pair \('\d+', 'NONE'\): people have not labelled it"):
        human_judged(SourceFiles(DATA), policy, path=tmp_path / "pairs.parquet")


def test_the_command_writes_figures_and_scores_that_the_report_reads(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["jobs", "--model", str(folder), "--lists", "1", "--price", "2", "--out", str(out)]
    assert main(command) == 0
    report = json.loads((out / "prompting.json").read_text())
    rows = {row["system"]: row for row in report["rows"]}
    assert list(rows) == ["random", "bm25", f"{folder.name}, likelihood", f"{folder.name}, yes-no"]
    prompted = rows[f"{folder.name}, likelihood"]
    assert prompted["dollars_per_million_pairs"] == pytest.approx(2 * prompted["tokens_per_pair"])
    assert report["policy"] == JOBS.stamp
    assert "| role | 826 |" in capsys.readouterr().out
    scores = pl.read_parquet(out / "scores-likelihood.parquet")
    assert scores["list_id"][0].startswith("judged/")
    system = stored_system(out / "scores-likelihood.parquet", "prompted", "prompted")
    assert not system.is_calibrated
    assert system.cost.tokens_per_pair == prompted["tokens_per_pair"]
    beside = out / "scores-likelihood.json"
    beside.write_text('{"calibrated": false}')
    with pytest.raises(DataError, match=r"scores-likelihood\.json: must be an object with is_calibrated"):
        stored_system(out / "scores-likelihood.parquet", "prompted", "prompted")


def test_the_command_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["jobs", "--model", str(tmp_path / "none"), "--lists", "1", "--out", str(tmp_path)]
    assert main(command) == 1
    assert capsys.readouterr().err.startswith(f"prompting jobs: {tmp_path / 'none'}: not a folder of a causal")
