"""All checks of a product, as a report, a page and lines for the terminal."""

from __future__ import annotations

from pathlib import Path

import jinja2

from training.errors import UserError
from training.files import write_whole
from training.product.check.feature_checks import check_features
from training.product.check.findings import LEVELS, CheckReport, Figures, Finding, counted
from training.product.check.log_checks import check_log
from training.product.check.material import Material, read_material
from training.product.check.pair_checks import (
    check_contradictions,
    check_leaks,
    check_near_duplicates,
    check_sizes,
    check_splits,
    check_steps,
    count_pairs,
)
from training.product.check.text_checks import check_texts

PAGE = "check.html"
CHECKS = (
    count_pairs,
    check_sizes,
    check_steps,
    check_splits,
    check_contradictions,
    check_near_duplicates,
    check_leaks,
    check_texts,
    check_features,
    check_log,
)


class CheckFailed(UserError):
    """The data has errors; the message has the first one."""


def check_product(folder: Path) -> CheckReport:
    """Check a product's data and write FOLDER/check.html. Raises UserError or DataError for what cannot be read."""
    report = checked(read_material(folder))
    write_whole(folder / PAGE, page(report).encode())
    return report


def checked(material: Material) -> CheckReport:
    """What all checks find, errors first."""
    found = [each for check in CHECKS for each in check(material)]
    findings = [each for each in found if isinstance(each, Finding)]
    ordered = tuple(sorted(findings, key=lambda each: LEVELS.index(each.level)))
    return CheckReport(material.settings.name, ordered, tuple(each for each in found if isinstance(each, Figures)))


def refuse_errors(folder: Path) -> int:
    """The number of warnings. Raises CheckFailed where a check finds an error: training would waste hours."""
    report = check_product(folder)
    errors = report.of("error")
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise CheckFailed(f"check: {errors[0].sentence}{more}: see {folder / PAGE}")
    return len(report.of("warning"))


def page(report: CheckReport) -> str:
    """The report as one HTML page without scripts."""
    template = (Path(__file__).parent / "page.html.j2").read_text(encoding="utf-8")
    return (
        jinja2.Environment(autoescape=True).from_string(template).render(report=report, levels=LEVELS, counted=counted)
    )
