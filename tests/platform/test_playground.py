"""The playground and the API's page in headless Chromium: by keyboard, narrow, dark, with keys, without the network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.platform.helm import NODE, ROOT
from tests.support.bundles import write_tiny_bundle
from tests.support.service_process import process

TABS = 12
"""More than the stops between any two parts of the form."""

CLIPBOARD = ["clipboard-read", "clipboard-write"]


@dataclass(frozen=True)
class Visit:
    """A page in Chromium, the hosts that it asked, and what it complained about."""

    page: Any
    url: str
    hosts: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def titles(self, column: int = 0) -> list[str]:
        found: list[str] = self.page.locator(".column").nth(column).locator("h3").all_inner_texts()
        return found

    def score(self) -> None:
        """Press the button, and wait for the answer to this press."""
        with self.page.expect_response("**/score"):
            self.page.click("#score")
        self.page.wait_for_selector("#result[aria-busy=false]")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # only `make test-platform` installs it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def jobs() -> Iterator[httpx.Client]:
    with process(BUNDLE=str(ROOT / "models" / "jobs-v1")) as (_, client):
        yield client


def visit(browser: Any, client: httpx.Client, path: str = "/", **options: Any) -> Visit:
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
    made = Visit(page, str(client.base_url).rstrip("/"))
    page.on("request", lambda request: made.hosts.add(urlsplit(request.url).netloc))
    page.on("console", lambda message: made.faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: made.faults.append(str(error)))
    page.goto(made.url + path)
    return made


def violations(page: Any) -> list[str]:
    """What axe finds against WCAG 2.2 AA, contrast included."""
    page.evaluate((NODE / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    tags = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("tags => axe.run({runOnly: tags})", tags)["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


def test_a_first_visit_ranks_the_example_and_asks_no_other_host(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs)
    here.score()
    assert here.titles()[0] == "Senior data engineer"
    assert here.titles()[-1] == "Pastry chef"
    assert here.page.locator(".card").first.locator(".bars dt").all_inner_texts() == [
        "relevance", "click", "apply", "dismiss"
    ]  # fmt: skip
    assert "jobs, version 1, policy jobs-policy@1.0.0" in here.page.inner_text(".about")
    assert here.hosts == {urlsplit(here.url).netloc}
    assert here.faults == []


def test_cards_show_the_scores_and_stages_that_the_service_sent(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs)
    with here.page.expect_response("**/score") as sent:
        here.page.click("#score")
    scores = sorted((each["score"] for each in sent.value.json()["scores"]), reverse=True)
    here.page.wait_for_selector("#result[aria-busy=false]")
    assert here.page.locator("span.score").all_inner_texts() == [f"{score:.3f}" for score in scores]
    stages = dict(re.findall(r"(\w+);dur=([\d.]+)", sent.value.headers["server-timing"]))
    rows = here.page.locator(".waterfall tr").all_inner_texts()
    shown = {name: float(ms) for name, ms in (row.removesuffix(" ms").split() for row in rows)}
    sent_ms = {name: float(ms) for name, ms in stages.items() if name != "total"}
    assert shown == pytest.approx(sent_ms, abs=0.0051)


def test_everything_works_by_keyboard(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs)
    keyboard = here.page.keyboard

    def tab_to(selector: str) -> None:
        for _ in range(TABS):
            keyboard.press("Tab")
            if here.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                outline = here.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"{selector} does not show its focus"
                return
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("[data-example=products]")
    keyboard.press("Enter")
    assert "wireless mouse" in here.page.input_value("#member")
    tab_to("#member")
    keyboard.press("Control+A")
    keyboard.type("Data engineer, python")
    tab_to("#candidates")
    keyboard.press("Control+A")
    keyboard.type("Dental nurse\n\nSenior data engineer")
    keyboard.press("Control+Enter")
    here.page.wait_for_selector(".card")
    assert here.titles() == ["Senior data engineer", "Dental nurse"]
    tab_to("summary")
    keyboard.press("Enter")
    tab_to("input[name=apply]")
    keyboard.type("1")
    tab_to("#score")
    with here.page.expect_response("**/score") as sent:
        keyboard.press("Space")
    assert sent.value.request.post_data_json["blend"] == {"apply": 1}


@pytest.mark.parametrize("width", [320, 390, 800])
def test_a_narrow_screen_scrolls_in_one_direction_only(chromium: Any, jobs: httpx.Client, width: int) -> None:
    here = visit(chromium, jobs, viewport={"width": width, "height": 800})
    overflow = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert here.page.evaluate(overflow) == 0
    here.score()
    here.page.click("#keep")
    here.page.fill("#candidates", "x" * 400)
    here.score()
    assert here.page.evaluate(overflow) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_light_and_dark(chromium: Any, jobs: httpx.Client, scheme: str) -> None:
    here = visit(chromium, jobs, color_scheme=scheme, bypass_csp=True)  # for axe itself
    assert violations(here.page) == []
    here.page.fill("#candidates", here.page.input_value("#candidates") + "\n\nid: unknown")
    here.score()
    here.page.click("#keep")
    here.page.fill("#member", "pastry chef")
    here.score()
    here.page.click("summary")
    assert violations(here.page) == []
    here.page.fill("#member", " ")
    here.page.click("#score")
    assert violations(here.page) == []
    channels = here.page.evaluate("() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(channels) < 64) == (scheme == "dark")


def test_axe_finds_a_planted_fault(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs, bypass_csp=True)
    here.page.evaluate("() => document.querySelector('label[for=member]').remove()")
    assert any(each.startswith("label:") for each in violations(here.page))


def test_a_candidate_without_a_score_says_why(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs)
    here.page.fill("#candidates", "Data engineer\n\nid: gone")
    here.score()
    last = here.page.locator(".card").last
    assert last.locator(".badge").inner_text() == "unknown candidate"
    assert last.locator("span.score").inner_text() == "\u2013"


@pytest.mark.parametrize(
    ("member", "sentence"),
    [(" ", "The member is empty."), ("{", "The member is not valid JSON")],
)
def test_a_mistake_is_explained_and_the_page_goes_on(
    chromium: Any, jobs: httpx.Client, member: str, sentence: str
) -> None:
    here = visit(chromium, jobs)
    here.page.fill("#member", member)
    here.page.click("#score")
    assert sentence in here.page.locator("#problem:visible").inner_text()
    here.page.fill("#member", "data engineer")
    here.score()
    assert here.titles()
    assert not here.page.is_visible("#problem")


def test_the_list_of_models_that_comes_late_does_not_replace_a_text(chromium: Any, jobs: httpx.Client) -> None:
    page = chromium.new_page()
    waiting: list[Any] = []
    page.route("**/v1/models", lambda route: waiting.append(route))
    page.goto(str(jobs.base_url))
    page.fill("#member", "pastry chef")
    with page.expect_response("**/v1/models"):
        waiting[0].continue_()
    page.wait_for_function("() => document.querySelector('#model').options.length")
    assert page.input_value("#member") == "pastry chef"


def test_markup_in_a_text_stays_a_text(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs)
    here.page.fill("#candidates", '<img src=x onerror="document.title = 1"> engineer')
    here.score()
    assert here.titles() == ['<img src=x onerror="document.title = 1"> engineer']
    assert here.page.title() == "Fitscore playground"


def test_the_command_for_curl_gives_the_same_scores(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs, permissions=CLIPBOARD)
    here.page.fill("#member", "the bank's data engineer")
    here.score()
    here.page.click("#curl")
    here.page.wait_for_selector("#copied:has-text('Copied')")
    command = here.page.evaluate("() => navigator.clipboard.readText()")
    answer = httpx.Response(200, content=subprocess.run(["bash", "-c", command], capture_output=True).stdout).json()
    best = max(each["score"] for each in answer["scores"])
    assert here.page.locator("span.score").first.inner_text() == f"{best:.3f}"


def test_a_service_with_keys_is_used_with_a_key_that_the_command_does_not_show(chromium: Any, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "tiny-v1")
    with process(BUNDLE=str(tmp_path / "tiny-v1"), API_KEYS="ranking:a-secret-key:score") as (_, client):
        here = visit(chromium, client, permissions=CLIPBOARD)
        here.score()
        assert here.page.is_visible("#problem")
        assert "key" in here.page.inner_text("#problem")
        here.page.click("summary")
        here.page.fill("#key", "a-secret-key")
        here.score()
        assert here.titles()
        here.page.click("#curl")
        here.page.wait_for_selector("#copied:has-text('Copied')")
        command = here.page.evaluate("() => navigator.clipboard.readText()")
        assert "a-secret-key" not in command
        key = {**os.environ, "FITSCORE_KEY": "a-secret-key"}
        assert b'"scored"' in subprocess.run(["bash", "-c", command], capture_output=True, env=key).stdout
        assert here.page.evaluate("() => localStorage.length + sessionStorage.length + document.cookie.length") == 0


def test_two_versions_are_compared_side_by_side(chromium: Any, tmp_path: Path) -> None:
    for version in "12":
        write_tiny_bundle(tmp_path / f"tiny-v{version}", seed=int(version), version=version)
    with process(BUNDLE=str(tmp_path / "tiny-v1"), TRIAL_S="0") as (_, client):
        here = visit(chromium, client)
        here.score()
        here.page.click("#keep")
        client.post("/v1/models/2:activate").raise_for_status()
        here.score()
        about = here.page.locator(".about").all_inner_texts()
        assert ["version 1" in about[0], "version 2" in about[1]] == [True, True]
        before, after = here.titles(0), here.titles(1)
        moved = here.page.locator(".column").nth(1).locator(".card:has(.badge.up)")
        assert set(before) == set(after)
        risen = [title for title in after if after.index(title) < before.index(title)]
        assert moved.locator("h3").all_inner_texts() == risen
        assert risen, "the two versions rank alike: the test shows nothing"


def test_two_products_of_one_process_are_compared_side_by_side(chromium: Any) -> None:
    models = ROOT / "models"
    with process(BUNDLE=str(models / "jobs-v1"), MORE_BUNDLES=str(models / "products-v1")) as (_, client):
        here = visit(chromium, client)
        here.page.wait_for_selector("#models:visible")
        here.page.click("[data-example=products]")
        assert here.page.input_value("#model") == "products"
        here.page.select_option("#beside", "jobs")
        with here.page.expect_response(lambda answer: "jobs" in (answer.request.post_data or "")):
            here.page.click("#score")
        here.page.wait_for_selector("#columns.two")
        assert [each.split(",")[0] for each in here.page.locator(".about").all_inner_texts()] == ["products", "jobs"]
        heads = [here.page.locator(".column").nth(place).locator("dt").all_inner_texts() for place in (0, 1)]
        assert set(heads[0]) == {"relevance", "click"}
        assert set(heads[1]) == {"relevance", "click", "apply", "dismiss"}
        assert "trained without the fields" in here.page.locator(".column").nth(1).inner_text()


def test_what_was_cut_of_a_text_is_shown(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs)
    here.page.fill("#candidates", "data engineer " * 200 + "\n\nchef")
    here.page.fill("#member", "python " * 300)
    with here.page.expect_response("**/score") as sent:
        here.page.click("#score")
    here.page.wait_for_selector("#result[aria-busy=false]")
    long = sent.value.json()["scores"][0]
    whole = long["tokens_read"] + long["tokens_cut"]
    assert long["tokens_cut"] > 0
    assert f"read {long['tokens_read']} of {whole} tokens" in here.page.locator(".cards").inner_text()
    assert "member: read" in here.page.inner_text(".facts.member")
    assert here.page.locator(".card", has_text="chef").locator(".badge").count() == 0


def test_the_page_of_the_api_can_send_a_request_without_the_network(chromium: Any, jobs: httpx.Client) -> None:
    here = visit(chromium, jobs, "/docs")
    here.page.wait_for_selector(".opblock")
    groups = here.page.locator(".opblock-tag span").all_inner_texts()
    assert [each for each in groups if each] == ["scoring", "candidates", "models", "operations"]
    here.page.click("#operations-scoring-score_score_post .opblock-summary-control")
    with here.page.expect_response("**/score") as sent:
        here.page.click("#operations-scoring-score_score_post button.execute")
    assert sent.value.status == 200
    assert here.page.is_visible("button.authorize")
    assert here.hosts == {urlsplit(here.url).netloc}
    assert here.faults == []
