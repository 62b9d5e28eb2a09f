"""A small shop as three files: queries, products, grades by words, and clicks that follow grades."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

from training.product.new import Order, new_product

COLOURS = "red blue green black white amber".split()
THINGS = "lamp chair table kettle mug towel desk shelf pillow clock".split()
SPEED = 2000.0
PAIR_HEADER = ("member_id", "member.query", "candidate_id", "candidate.title", "candidate.brand", "grade")
LOG_HEADER = ("list_id", "member_id", "candidate_id", "position", "action")

Rows = list[list[str]]


def shop(members: int = 120, candidates: int = 6, seed: int = 0) -> tuple[Rows, Rows, Rows]:
    """Rows of pairs, log and catalogue, without headers."""
    drawn = random.Random(seed)
    products = [
        [
            f"p{number}",
            f"{drawn.choice(COLOURS)} {drawn.choice(THINGS)} number {number}",
            drawn.choice(["Norda", "Ilse"]),
        ]
        for number in range(20 * members)
    ]
    pairs, log = [], []
    for number in range(members):
        colour, thing = drawn.choice(COLOURS), drawn.choice(THINGS)
        query = f"{colour} {thing} for room {number} please"
        best = [f"b{number}", f"{colour} {thing} number b{number}", "Ilse"]
        good = [f"g{number}", f"{drawn.choice(COLOURS)} {thing} number g{number}", "Norda"]
        shown = [best, good, *products[number * 20 : number * 20 + candidates - 2]]
        drawn.shuffle(shown)
        for place, (candidate_id, title, brand) in enumerate(shown, start=1):
            grade = 2 * (thing in title) + 2 * (colour in title and thing in title)
            pairs.append([f"q{number}", query, candidate_id, title, brand, str(grade)])
            clicked = drawn.random() < 0.1 + 0.15 * grade
            log.append([f"l{number}", f"q{number}", candidate_id, str(place), "click" if clicked else ""])
    return pairs, log, products


def log_alone(lists: int = 60, seed: int = 0) -> Rows:
    """Rows of a log of counts: list, member, candidate, times shown, clicks, week. Lamps are clicked more often."""
    drawn, rows = random.Random(seed), []
    for number in range(lists):
        things = drawn.sample(THINGS, 3)
        for thing in things:
            shown = drawn.randint(300, 900)
            clicks = round(shown * (0.09 if thing == "lamp" else 0.03) * drawn.uniform(0.8, 1.2))
            week = f"2026-W{1 + number * 40 // lists:02d}"
            rows.append([f"l{number}", f"room {number}", f"a {thing} for room {number}", str(shown), str(clicks), week])
    return rows


def write_table(path: Path, header: Sequence[str], rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def make_shop(folder: Path, pairs: Rows, log: Rows | None = None, header: Sequence[str] = PAIR_HEADER) -> Path:
    """The folder of a product `shop` of these rows; its log is read where rows are given."""
    folder.mkdir(parents=True, exist_ok=True)
    order = Order(
        folder=folder / "shop",
        policy=None,
        pairs=write_table(folder / "pairs.csv", header, pairs),
        log=write_table(folder / "log.csv", LOG_HEADER, log) if log else None,
        candidates=None,
        columns={},
        hours=0.05,
        encoder=None,
    )
    new_product(order, lambda _: SPEED)
    return order.folder
