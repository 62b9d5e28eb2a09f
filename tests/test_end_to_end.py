"""The whole cookbook on generated data, and the service on what it made: policy to `POST /score` without a seam."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.bundle.files import Bundle
from models.loading import open_encoder, open_scorer
from models.text import Pair
from tests.support.chat_server import ChatServer
from tests.support.service import Serve
from training.__main__ import main
from training.data.source_files import SourceFiles
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.policy.policy import OVERALL
from training.policy.stamps import section_stamps
from training.recipe import EvaluationPlan
from training.recipes import demo

FIVE_MINUTES = 300


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All steps of the demo recipe, run as a user would."""
    folder = tmp_path_factory.mktemp("runs")
    started = time.process_time()  # of this process, so that a busy machine changes nothing
    assert main(["all", "demo", "--runs", str(folder)]) == 0
    assert time.process_time() - started < FIVE_MINUTES
    return folder / "demo"


@pytest.fixture(scope="session")
def bundle(runs: Path) -> Path:
    """What the demo recipe exported; the service's fixtures serve it."""
    return runs / "bundles" / "demo-v1"


@pytest.mark.slow
def test_the_student_learns_what_the_teacher_knows(runs: Path) -> None:
    report = json.loads((runs / "evaluate" / "report.json").read_text())
    systems = report["heads"]["relevance"]["sources"]["market"]["systems"]
    assert systems["teacher"]["ndcg@10"]["mean"] > 0.9
    assert systems["student-int8"]["ndcg@10"]["mean"] > 0.97 * systems["teacher"]["ndcg@10"]["mean"]
    assert systems["cosine"]["ndcg@10"]["high"] < systems["student-int8"]["ndcg@10"]["low"]


@pytest.mark.slow
def test_the_second_teacher_and_its_heads_know_what_members_do(runs: Path) -> None:
    curve = json.loads((runs / "teach-engagement" / "examination.json").read_text())
    assert curve[0] == 1
    assert curve[1] > curve[3] > curve[7]
    report = json.loads((runs / "evaluate" / "report.json").read_text())
    for action in ("click", "apply"):
        systems = report["heads"][action]["sources"]["log of market"]["systems"]
        # a hundred lists, most of them without an application: the intervals of `apply` may touch
        assert systems["student-int8"]["auc"]["mean"] > systems["cosine"]["auc"]["mean"] + 0.1
    alone, both = report["shares"]["points"]
    assert (alone["weight"], both["weight"], both["chosen"]) == (0.0, 0.5, True)


def digests(runs: Path) -> dict[str, str]:
    """The digest of each file of the bundle, and of the bundle."""
    folder = runs / "bundles" / "demo-v1"
    files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    return {
        **{name: each["sha256"] for name, each in files.items()},
        "bundle": (folder / "manifest.sha256").read_text(),
    }


def exported_again(runs: Path, day: str, *steps: str) -> dict[str, str]:
    """The digests after these steps and `export` were done once more on a day, in seconds since 1970."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", day)
        for step in (*steps, "export"):
            (runs / step / "step.json").unlink()
            assert main([step, "demo", "--runs", str(runs.parent)]) == 0
    return digests(runs)


@pytest.mark.slow
def test_two_exports_of_one_checkpoint_give_the_same_bundle(runs: Path) -> None:
    first = exported_again(runs, "1764460800")
    assert exported_again(runs, "1764460800") == first
    assert exported_again(runs, "1764547200")["bundle"] != first["bundle"]


@pytest.mark.slow
def test_graphs_that_are_made_again_from_one_checkpoint_are_the_same(runs: Path) -> None:
    before = {name: digest for name, digest in digests(runs).items() if name.endswith(".onnx")}
    assert before
    assert exported_again(runs, "1764460800", "compress", "evaluate").items() >= before.items()


@pytest.mark.slow
def test_graphs_equal_torch_and_int8_keeps_clear_orders(runs: Path) -> None:
    parity = json.loads((runs / "compress" / "parity.json").read_text())
    assert parity["fp32"]["worst"] < 1e-4
    assert parity["int8"]["order_kept"] > 0.98


@pytest.mark.slow
def test_narrow_variants_cost_less_and_keep_most_of_the_ranking(runs: Path) -> None:
    variants = {row["name"]: row for row in json.loads((runs / "compress" / "variants.json").read_text())}
    sizes = [variants[name]["size"] for name in ("unpruned-fp32", "unpruned-int8", "pruned-75-int8", "pruned-50-int8")]
    assert sizes == sorted(sizes, reverse=True)
    assert variants["unpruned-fp16"]["sources"]["market"]["top1"]["mean"] > 0.95
    assert variants["pruned-50-int8"]["sources"]["market"]["minus_reference"]["low"] > -0.1
    assert "| pruned-50-int8 |" in (runs / "evaluate" / "report.md").read_text()


@pytest.mark.slow
def test_the_card_and_the_manifest_say_where_the_model_comes_from(bundle: Path) -> None:
    loaded = Bundle.load(bundle)
    assert {"data", "teach", "distill", "evaluate"} <= set(loaded.manifest.training["steps"])
    assert b"generated by `training/sources/market.py`" in loaded.contents["card.md"]


@pytest.mark.slow
def test_the_policy_travels_from_its_document_to_every_answer(runs: Path, bundle: Path, serve: Serve) -> None:
    policy = read_policy(POLICIES / "demo.md")
    assert json.loads((runs / "policy" / "policy.json").read_text())["stamp"] == policy.stamp
    sections = {stamp for name, stamp in section_stamps(policy).items() if name != OVERALL}
    assert set(pl.read_parquet(runs / "golden" / "golden.parquet")["policy"]) == sections
    assert set(pl.read_parquet(runs / "annotate" / "soft-00000.parquet")["policy"]) == {policy.stamp}
    assert (runs / "teach" / "policy.txt").read_text().strip() == policy.stamp
    manifest = Bundle.load(bundle).manifest
    assert (manifest.policy, manifest.training["policy"]["sha256"]) == (policy.label, policy.sha256)
    (each,) = list(demo.lists(SourceFiles(bundle)))[-1:]
    answer = serve(bundle=bundle).score(member={"fields": dict(each.member)}, candidates=[{"id": "1", "text": "baker"}])
    assert answer.json()["model"]["policy"] == "demo-policy@1.1.0"


@pytest.mark.slow
def test_raters_were_compared_and_prompting_is_said_not_to_be_measured(runs: Path) -> None:
    agreements = json.loads((runs / "golden" / "agreement.json").read_text())["agreement"]
    assert {each["dimension"] for each in agreements} == {"role", "skills", "seniority"}
    assert "Not measured: no endpoint was given" in (runs / "judge" / "report.md").read_text()


@pytest.mark.slow
def test_the_judge_is_measured_where_an_endpoint_is_given(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Last of all that read the judge's folder: it is written again."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with ChatServer() as server:
        words = ["judge", "demo", "--runs", str(runs.parent), "--judge-url", server.url, "--judge-model", "small"]
        assert main(words) == 0
        assert len(server.asked) == demo.recipe().data.judge.pairs
    report = json.loads((runs / "judge" / "judge.json").read_text())
    assert report["pairs"] == {"graded": 24, "malformed": 0, "refused": 0, "over budget": 0}
    # This server grades by the length of the texts, which has nothing to do with fit.
    assert all(each["agreement"]["kappa"]["mean"] < 0.7 for each in report["agreement"])


@pytest.mark.slow
def test_the_service_answers_what_the_student_says(bundle: Path, serve: Serve) -> None:
    running = serve(bundle=bundle)
    assert running.failures == []
    lists = list(demo.lists(SourceFiles(bundle)))[-3:]
    loaded = Bundle.load(bundle)
    encoder, scorer = open_encoder(loaded), open_scorer(loaded, "cpu", 1)
    for each in lists:
        candidates = [{"id": str(index), "fields": dict(fields)} for index, fields in enumerate(each.candidates)]
        scores = running.score(member={"fields": dict(each.member)}, candidates=candidates).json()["scores"]
        member = encoder.member(demo.recipe().text.template.render_member(each.member))
        ids = encoder.candidates([demo.recipe().text.template.render_candidate(fields) for fields in each.candidates])
        expected = scorer.score([Pair(member, candidate) for candidate in ids])
        found = [list(score["heads"].values()) for score in scores]
        # int8 activations are scaled by batch, so a pair's score moves a little with its company
        np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.slow
def test_a_floor_stops_a_bad_bundle(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    strict = replace(demo.recipe(), evaluation=EvaluationPlan(floors={"relevance/market/ndcg@10": 1.01}))
    monkeypatch.setattr("training.__main__.find_recipe", lambda _: strict)
    assert main(["evaluate", "demo", "--runs", str(runs.parent)]) == 1
    assert "relevance/market/ndcg@10 of the student's int8 graph is 0.9" in capsys.readouterr().err
    assert main(["export", "demo", "--runs", str(runs.parent)]) == 1
    assert "step 'evaluate' has not finished" in capsys.readouterr().err


def test_a_mistake_in_the_policy_is_reported_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (POLICIES / "demo.md").read_text(encoding="utf-8")
    (tmp_path / "mine.md").write_text(text.replace("Weight: 20", "Weight: a fifth"), encoding="utf-8")
    data = replace(demo.recipe().data, policy=tmp_path / "mine.md")
    mine = replace(demo.recipe(), data=data)
    monkeypatch.setattr("training.__main__.find_recipe", lambda _: mine)
    assert main(["policy", "demo", "--runs", str(tmp_path)]) == 1
    line = text[: text.index("Weight: 20")].count("\n") + 1
    assert f"policy demo: mine.md:{line}: the weight of 'seniority' must read" in capsys.readouterr().err


def test_an_endpoint_without_a_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["judge", "demo", "--judge-url", "http://127.0.0.1:1/v1"])
    assert "--judge-url and --judge-model go together" in capsys.readouterr().err


def test_an_unknown_recipe_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "nothing"]) == 1
    assert "there is no recipe 'nothing'; there are: demo, jobs" in capsys.readouterr().err
