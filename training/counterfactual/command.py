"""The words `counterfactual`, `positions`, `interleaving` and `samples` of the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from training.counterfactual.estimates import OffPolicy, estimate
from training.counterfactual.interleaving import preference
from training.counterfactual.logged import (
    UNIFORM,
    LoggedLists,
    credits_of,
    policies_of,
    propensities,
    read_logged,
    shown_of,
    slots_of,
    without_lone,
)
from training.counterfactual.position import examination
from training.counterfactual.sample_size import lists_interleaved, logged_requests, members_per_arm
from training.errors import UserError
from training.files import write_json

PROGRAM = "python -m training"


def counterfactual(arguments: Sequence[str]) -> int:
    """`counterfactual NAME --bundle B`: what this bundle would have got, by the log of another policy."""
    parser = _of_log("counterfactual", "What a bundle would have got, from a log with propensities.")
    parser.add_argument("--bundle", type=Path, help="whose choices are estimated (default: NAME/bundle)")
    parser.add_argument(
        "--propensity", choices=["column", UNIFORM], default="column", help="uniform: a list's order was random"
    )
    parser.add_argument("--top", type=int, help="places that count, of lists shown whole (default: all)")
    parser.add_argument("--clip", type=float, help="the largest weight: less noise, for a bias that is stated")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    given = parser.parse_args(arguments)
    if given.clip is not None and given.clip < 1:
        parser.error("--clip is a weight of 1 or more")
    logged = without_lone(read_logged(given.name, given.action, given.split, given.policy_id))
    chances, doubts = propensities(logged, given.propensity)
    bundle = given.bundle or given.name / "bundle"
    found = estimate(slots_of(logged, bundle, chances, given.top), given.clip)
    _say(*_lines(logged, found, bundle), *(f"warning: {each}" for each in (*doubts, *found.warnings)))
    if given.out:
        write_json(given.out, asdict(found))
    return 0


def _lines(logged: LoggedLists, found: OffPolicy, bundle: Path) -> list[str]:
    what = "shown candidate" if logged.kind == "rankings" else "choice of a list"
    lines = [*logged.notes, f"{logged.action} per {what}, with 95 % intervals; {bundle} against what was logged"]
    lines.append(f"{'logged':16} {found.logged:.5f}")
    for each in found.estimates:
        lines.append(f"{each.name:16} {each.rate:.5f}   minus logged {each.minus_logged:+.5f}")
    largest = f"the largest weight is {found.largest_weight:.3g}"
    lines.append(f"effective sample: {found.effective:,.0f} of {found.shown:,.0f}; {largest}")
    lines.append("`without weights` is biased wherever the logging policy preferred what draws actions")
    return lines


def positions(arguments: Sequence[str]) -> int:
    """`positions NAME`: how often members look at each place, and whether the log can tell."""
    parser = _of_log("positions", "How often members look at each place, relative to the first.")
    parser.add_argument("--propensity", choices=["column", UNIFORM, "none"], default="none")
    given = parser.parse_args(arguments)
    logged = read_logged(given.name, given.action, given.split, given.policy_id)
    if logged.kind == "arms":
        raise UserError("the log has counts by candidate and no places: there is nothing to tell apart")
    known = propensities(logged, given.propensity) if given.propensity != "none" else (None, ())
    found = examination(shown_of(logged, known[0]))
    _say(*logged.notes, f"looks relative to place 1, by {found.method}:")
    _say(*(f"{place:4} {interval:.3f}" for place, interval in found.curve.items()))
    _say(*(f"warning: {each}" for each in (*known[1], *found.warnings)))
    if found.method != "propensities":
        _say("assumed: a candidate draws as many actions from the members who saw it at one place as at another")
    return 0


def interleaving(arguments: Sequence[str]) -> int:
    """`interleaving NAME`: which of two versions the members prefer, by lists that mix both."""
    parser = _of_log("interleaving", "Which version members prefer; `policy_id` says which one placed a candidate.")
    given = parser.parse_args(arguments)
    logged = read_logged(given.name, given.action, given.split, given.policy_id)
    versions = policies_of(logged)
    if len(versions) != 2:
        named = ", ".join(versions) or "none"
        raise UserError(f"the column policy_id must name two versions; it names {named}: filter or correct the log")
    both = (versions[0], versions[1])
    found = preference(credits_of(logged, both), [str(each) for each in logged.clusters], both)
    _say(*logged.notes, found.sentence)
    return 0


def samples(arguments: Sequence[str]) -> int:
    """`samples --rate .05 --lift .1`: how much data a decision takes."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} samples", description="How much data finds a lift, by A/B test, off-policy and interleaving."
    )
    parser.add_argument("--rate", type=_share, required=True, help="of the action today, such as 0.05")
    parser.add_argument("--lift", type=float, required=True, help="relative lift to find, such as 0.1 for 10 %%")
    parser.add_argument("--power", type=_share, default=0.8, help="chance to find it (default: 0.8)")
    parser.add_argument(
        "--design", type=float, default=1.0, help="how much requests of one member resemble (default: 1)"
    )
    parser.add_argument("--effective", type=_share, help="share of the log that counts, as `counterfactual` prints it")
    parser.add_argument("--preference", type=_share, help="share of lists with a winner that the better version wins")
    parser.add_argument("--ties", type=_share, default=0.5, help="share of lists without a winner (default: 0.5)")
    given = parser.parse_args(arguments)
    if not given.lift or not 0 < given.rate * (1 + given.lift) < 1:
        parser.error("--lift must change the rate, to one between 0 and 1")
    arm = members_per_arm(given.rate, given.lift, given.power, given.design)
    _say(f"A/B test: {arm:,} requests in each arm")
    if given.effective:
        _say(f"off-policy: {logged_requests(given.rate, given.lift, given.effective, given.power):,} logged choices")
    if given.preference and given.preference != 0.5:
        _say(f"interleaving: {lists_interleaved(given.preference, given.ties, given.power):,} lists")
    return 0


def _of_log(word: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {word}", description=description)
    parser.add_argument("name", type=Path, metavar="NAME", help="a product's folder, with a log")
    parser.add_argument("--action", default="", help="of the log (default: its first)")
    parser.add_argument(
        "--split", choices=["test", "valid", "train", "all"], default="test",
        help="members whose lists count (default: test, which no training has seen)",
    )  # fmt: skip
    parser.add_argument("--policy-id", default="", metavar="ID", help="only rows that this policy placed")
    return parser


def _share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise argparse.ArgumentTypeError("a number between 0 and 1")
    return found


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
