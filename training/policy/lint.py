"""`policy lint`: runs a policy's rule over every combination of grades, nulls included, and lists what is odd about it.

A fault is a rule that cannot be meant: a better grade that lowers the overall grade, a cap that never decides, an
overall grade that nothing reaches. A surprise is for the people who own the policy to judge. Knows no pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from training.policy.markdown import table
from training.policy.policy import GRADES, POOR, Cap, Combination, Grid, Policy, every_overall

FIRST_PAGE = 3
"""The least overall grade that a reader sees first."""


@dataclass(frozen=True)
class Surprise:
    """A kind of combination that may not be meant: how many there are, and one of them."""

    sentence: str
    combinations: int
    example: str


@dataclass(frozen=True)
class LintReport:
    """What the grid of a policy shows. `reaches[grade]` counts the combinations of each overall grade."""

    policy: str
    combinations: int
    reaches: dict[int, int]
    faults: tuple[str, ...]
    surprises: tuple[Surprise, ...]


def lint(policy: Policy) -> LintReport:
    """Run `Policy.overall` over all 6^dimensions combinations; a minute for nine dimensions."""
    grid = every_overall(policy)
    reaches = Counter(overall for overall in grid.values() if overall is not None)
    unreached = [grade for grade in GRADES if not reaches[grade]]
    faults = [*_falls(policy, grid), *_idle_caps(policy, grid)]
    faults += [f"no combination of grades has the overall grade {grade}" for grade in unreached]
    surprises = [*_praised(policy, grid), *_blamed(policy, grid), *_jumps(policy, grid), *_thin(policy, grid)]
    counts = {grade: reaches[grade] for grade in GRADES}
    return LintReport(policy.stamp, len(grid), counts, tuple(faults), tuple(surprises))


def _falls(policy: Policy, grid: Grid) -> Iterator[str]:
    """A dimension whose better grade lowers the overall grade, once each."""
    for place, name in enumerate(policy.dimension_names):
        for worse, better in _steps(place, grid):
            if _known(grid[better]) < _known(grid[worse]):
                yield (
                    f"a better grade of {name!r} lowers the overall grade: {_text(policy, worse)} gives"
                    f" {grid[worse]}, {_text(policy, better)} gives {grid[better]}"
                )
                break


def _idle_caps(policy: Policy, grid: Grid) -> Iterator[str]:
    """A cap without which every combination has the same overall grade."""
    for index, cap in enumerate(policy.caps):
        place = policy.dimension_names.index(cap.dimension)
        without = replace(policy, caps=(*policy.caps[:index], *policy.caps[index + 1 :]))
        names = policy.dimension_names
        meant = (each for each in grid if (grade := each[place]) is not None and grade <= cap.grade)
        if all(without.overall(dict(zip(names, each, strict=True))) == grid[each] for each in meant):
            yield f"the cap `{_cap(cap)}` never decides: take it out, or mend it"


def _praised(policy: Policy, grid: Grid) -> Iterator[Surprise]:
    """An overall grade of the first page although one dimension is poor."""
    for place, name in enumerate(policy.dimension_names):
        for grade in range(POOR + 1):
            found = [each for each in grid if each[place] == grade and _known(grid[each]) >= FIRST_PAGE]
            if found:
                best = max(found, key=lambda each: _known(grid[each]))
                sentence = f"{name} {grade} does not keep a candidate from the first page (overall {grid[best]})"
                yield Surprise(sentence, len(found), f"{_text(policy, best)} -> {grid[best]}")


def _blamed(policy: Policy, grid: Grid) -> Iterator[Surprise]:
    """A poor overall grade although no dimension is under 3."""
    good = (each for each in grid if all(grade is None or grade >= FIRST_PAGE for grade in each))
    found = [each for each in good if grid[each] is not None and _known(grid[each]) <= POOR]
    if found:
        sentence = "the overall grade is poor although every grade is a 3 or a 4"
        yield Surprise(sentence, len(found), f"{_text(policy, found[0])} -> {grid[found[0]]}")


def _jumps(policy: Policy, grid: Grid) -> Iterator[Surprise]:
    """One step of one dimension that moves the overall grade by two or more."""
    for place, name in enumerate(policy.dimension_names):
        found = [(a, b) for a, b in _steps(place, grid) if _known(grid[b]) - _known(grid[a]) > 1]
        for grade in sorted(GRADES):
            same = [(a, b) for a, b in found if a[place] == grade]
            if not same:
                continue
            worse, better = max(same, key=lambda pair: _known(grid[pair[1]]) - _known(grid[pair[0]]))
            sentence = f"{name} {worse[place]} to {better[place]} moves the overall grade by two steps or more"
            yield Surprise(sentence, len(same), f"{_text(policy, worse)} -> {grid[worse]}, then {grid[better]}")


def _thin(policy: Policy, grid: Grid) -> Iterator[Surprise]:
    """An overall grade of the first page from dimensions that hold less than half of the weight."""
    found = [each for each in grid if _weight(policy, each) < 50 and _known(grid[each]) >= FIRST_PAGE]
    if found:
        least = min(found, key=lambda each: (_weight(policy, each), -_known(grid[each])))
        sentence = "dimensions of less than half of the weight suffice for the first page"
        yield Surprise(sentence, len(found), f"{_text(policy, least)} -> {grid[least]}")


def _steps(place: int, grid: Grid) -> Iterator[tuple[Combination, Combination]]:
    """Each combination with a grade in this place, and the one whose grade is one higher."""
    for each in grid:
        grade = each[place]
        if grade is not None and grade < max(GRADES):
            yield each, (*each[:place], grade + 1, *each[place + 1 :])


def _known(grade: int | None) -> int:
    return -1 if grade is None else grade


def _weight(policy: Policy, grades: Combination) -> int:
    return sum(each.weight for each, grade in zip(policy.dimensions, grades, strict=True) if grade is not None)


def _cap(cap: Cap) -> str:
    return f"{cap.dimension} | {cap.grade} | {cap.overall}"


def _text(policy: Policy, grades: Combination) -> str:
    pairs = zip(policy.dimension_names, grades, strict=True)
    return ", ".join(f"{name} {'null' if grade is None else grade}" for name, grade in pairs)


def lint_markdown(report: LintReport) -> str:
    """The report for people."""
    lines = [f"# The rule of {report.policy}\n", f"{report.combinations} combinations of grades, nulls included.\n"]
    rows = [[str(grade), str(count)] for grade, count in report.reaches.items()]
    lines.append(table(["overall", "combinations"], rows))
    lines.append("## Faults\n")
    lines += [f"- {fault}" for fault in report.faults] or [
        "None: no better grade lowers the overall grade, every cap decides somewhere, every overall grade is reached."
    ]
    lines.append("\n## Surprises\n")
    surprises = [[each.sentence, str(each.combinations), each.example] for each in report.surprises]
    lines.append(table(["what", "combinations", "for example"], surprises) if surprises else "None.\n")
    return "\n".join(lines)
