"""Human grades of the jobs product: the official ESCO-O*NET crosswalk, and Nesta's of November 2020 as second rater.

Both compare the work of occupations, so they grade the dimension `role` only. They answer different questions: the
official one how the meanings of two occupations relate, Nesta's how certain its makers were of the best match. A pair
that neither lists was not judged and has no grade.
"""

from __future__ import annotations

import random

import polars as pl

from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.judging.golden_set import GradedPair, HumanGrade, HumanGrades
from training.sources.taxonomies import job_fields, read_taxonomies, worker_fields

OFFICIAL = {"exactMatch": 4, "closeMatch": 3, "narrowMatch": 2, "broadMatch": 2}
NOT_JUDGED = "exactISCO"  # equal ISCO groups, which a table decided
NESTA = {"2.0": 4, "1.0": 3, "0.5": 2}


def crosswalk_grades(data: SourceFiles) -> HumanGrades:
    """Grades of O*NET workers against ESCO occupations, for pairs with both in the taxonomies."""
    taxonomies = read_taxonomies(data)
    folder = data.path("esco_onet_crosswalk")
    official = pl.read_parquet(folder / "crosswalk.parquet").filter(pl.col("match") != NOT_JUDGED)
    nesta = pl.read_csv(folder / "nesta_crosswalk_nov2020.csv.gz")
    grades = _grades(official, ("onet_soc_code", "esco_uri", "match"), OFFICIAL, "official", "crosswalk.parquet")
    grades += _grades(
        nesta, ("onet_code", "concept_uri", "confidence"), NESTA, "nesta", "nesta_crosswalk_nov2020.csv.gz"
    )
    known = [g for g in grades if g.member_id in taxonomies.workers and g.candidate_id in taxonomies.jobs]
    random_ = random.Random(0)  # unused: the whole form of both sides draws nothing
    pairs = [
        GradedPair(
            code,
            uri,
            worker_fields(taxonomies.workers[code], random_, whole=True),
            job_fields(taxonomies.jobs[uri], random_, whole=True),
        )
        for code, uri in dict.fromkeys((grade.member_id, grade.candidate_id) for grade in known)
    ]
    return HumanGrades(
        origin="esco_onet_crosswalk",
        pairs=pairs,
        grades=known,
        authority=("official", "nesta"),
        about=(
            "The official crosswalk grades how the meanings of two occupations relate (exact 4, close 3, narrow and"
            " broad 2); Nesta's grades how sure its makers were of the single best match (2 is 4, 1 is 3, 0.5 is 2)."
            " They grade different things, and both list matches only, so that no 0 or 1 can be agreed on: a low kappa"
            " here says nothing about how well two graders of one policy would agree."
        ),
    )


def _grades(
    table: pl.DataFrame, columns: tuple[str, str, str], scale: dict[str, int], rater: str, file: str
) -> list[HumanGrade]:
    judged = columns[-1]
    best: dict[tuple[str, str], int] = {}
    for row, (code, uri, value) in enumerate(table.select(columns).iter_rows()):
        if str(value) not in scale:
            raise DataError(f"{file}: row {row}, column {judged!r}: must be one of {', '.join(scale)}")
        best[code, uri] = max(scale[str(value)], best.get((code, uri), 0))
    return [HumanGrade(code, uri, "role", rater, grade) for (code, uri), grade in best.items()]
