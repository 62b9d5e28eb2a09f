"""The set `requirements`: its grades follow jobs.md, its lists repeat by seed, and what is held out stays out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pytest

from tests.support.small_world import DATA, jobs_policy, needs_data, small_world
from training.data.lists import Split
from training.sources.requirements import facts, level_forms, skill_forms, term_forms
from training.sources.requirements.audit import plain
from training.sources.requirements.drawing import Pair, RequirementList, requirement_lists
from training.sources.requirements.facts import Need, Needs, Person, Post, Undecided, grades
from training.sources.requirements.jobs import TESTS, worlds
from training.sources.requirements.limit_forms import AMOUNTS
from training.sources.requirements.terms import FIXED, amount, draw_twins, language, office_days, place
from training.sources.requirements.vocabulary import Item, Occupation, Vocabulary
from training.sources.requirements.vocabulary_rules import gerund
from training.sources.requirements.voice import Voice

EVERYTHING = frozenset(facts.DIMENSIONS)


@pytest.fixture(scope="module")
def lists() -> list[RequirementList]:
    return list(requirement_lists(small_world(), 60, seed=1))


LATHE, MILL, SAW, DRILL, PRESS = (
    Item(name, (name,), "", "tool") for name in ("lathe", "mill", "saw", "drill", "press")
)
MYSQL, POSTGRES = (Item(name, (name,), "databases", "tool") for name in ("MySQL", "Postgres"))
LICENCE = Item("blaster's licence", ("blaster's licence",), "", "licence")
TURNER = Occupation("51-4034.00", "Turners", ("Turner",), (), (), 3, frozenset(), LICENCE, ())


def person(**changes: object) -> Person:
    plain = Person(TURNER, "Turner", 2, False, (LATHE, MILL, POSTGRES), (SAW,), (), (), "a dairy")
    return replace(plain, **changes)  # type: ignore[arg-type]


def post(*needs: Need, **changes: object) -> Post:
    plain = Post(TURNER, "same", "Turner", 2, Needs(needs or (Need((LATHE,)),)), (), EVERYTHING)
    return replace(plain, **changes)  # type: ignore[arg-type]


def grade(dimension: str, who: Person, job: Post) -> int | None:
    return grades(who, job)[dimension]


class TestSkills:
    @pytest.mark.parametrize(
        ("needs", "expected"),
        [
            ([Need((LATHE,)), Need((MILL,))], 4),
            ([Need((LATHE,)), Need((DRILL, MILL))], 4),
            ([Need((LATHE,)), Need((SAW,))], 3),
            ([Need((LATHE,)), Need((MYSQL,))], 3),
            ([Need((LATHE,)), Need((MYSQL,), comparable=True)], 4),
            ([Need((LATHE,)), Need((DRILL,))], 2),
            ([Need((LATHE,)), Need((DRILL,)), Need((PRESS,))], 2),
            ([Need((DRILL,)), Need((LATHE,))], 1),
            ([Need((DRILL,)), Need((PRESS,))], 0),
        ],
    )
    def test_the_grade_counts_what_is_shown_stated_related_and_missing(self, needs: list[Need], expected: int) -> None:
        assert grade("skills", person(), post(*needs)) == expected

    def test_a_plus_and_what_is_not_used_never_lower_the_grade(self) -> None:
        needs = Needs((Need((LATHE,)),), plus=(DRILL,), unused=(PRESS,))
        assert grade("skills", person(), post(needs=needs)) == 4

    def test_two_weak_needs_are_left_undecided(self) -> None:
        with pytest.raises(Undecided):
            grades(person(), post(Need((SAW,)), Need((MYSQL,))))

    @pytest.mark.parametrize(
        ("held", "asked", "expected"), [(True, "needed", 4), (False, "needed", 0), (False, "later", 4)]
    )
    def test_a_licence_that_is_needed_and_absent_is_0(self, held: bool, asked: str, expected: int) -> None:
        needs = Needs((Need((LATHE,)),), licence=asked)
        assert grade("skills", person(licence=held), post(needs=needs)) == expected

    def test_a_licence_of_which_the_member_says_nothing_is_undecided(self) -> None:
        with pytest.raises(Undecided):
            grades(person(), post(needs=Needs((Need((LATHE,)),), licence="needed")))


class TestSeniority:
    @pytest.mark.parametrize(
        ("own", "job", "ready", "expected"),
        [
            (2, 2, False, 4),
            (2, 4, True, 3),
            (2, 4, False, 2),
            (2, 3, False, 2),
            (3, 2, False, 2),
            (4, 2, False, 1),
            (1, 4, True, 1),
            (0, 4, True, 0),
            (6, 2, False, 0),
        ],
    )
    def test_the_grade_falls_with_half_steps(self, own: int, job: int, ready: bool, expected: int) -> None:
        assert grade("seniority", person(level=own, ready=ready), post(level=job)) == expected

    def test_a_step_down_counts_one_more_in_a_change_of_trades(self) -> None:
        assert grade("seniority", person(level=4), post(level=2, relation="far")) == 2

    def test_a_member_who_asks_for_less_is_met_by_less(self) -> None:
        asks_for_less = person(level=4, seeks=(2, 3))
        assert [grade("seniority", asks_for_less, post(level=level)) for level in (2, 3, 4, 1, 0)] == [4, 4, 2, 2, 1]


class TestDomain:
    @pytest.mark.parametrize(
        ("job", "demanded", "expected"),
        [
            ("", False, None),
            ("a dairy", True, 4),
            ("a cheese maker", True, 3),
            ("a toy maker", False, 2),
            ("a mine", False, 1),
            ("a mine", True, 0),
            ("a toy maker", True, 0),
        ],
    )
    def test_the_grade_follows_the_distance_and_the_demand(
        self, job: str, demanded: bool, expected: int | None
    ) -> None:
        assert grade("domain", person(), post(industry=job, demands_industry=demanded)) == expected


class TestConstraints:
    def test_terms_that_the_member_says_nothing_about_are_null(self) -> None:
        assert grade("constraints", person(), post(terms=((FIXED["nights"], "yes"),))) is None

    @pytest.mark.parametrize("name", [*FIXED, "place", "language", "travel", "lifting", "days"])
    def test_a_broken_condition_is_0_and_a_missed_wish_is_2(self, name: str) -> None:
        rng = random.Random(3)
        amounts = {source.name: amount(source) for source in AMOUNTS}
        made = {"place": place(rng), "language": language(rng), "days": office_days(rng), **amounts}
        kind = made[name] if name in made else FIXED[name]
        for stance in kind.stances:
            for value, expected in stance.grades.items():
                found = grade("constraints", person(stances=((kind, stance),)), post(terms=((kind, value),)))
                assert found == expected
        assert {g for stance in kind.stances for g in stance.grades.values()} <= {0, 1, 2, 3, 4}
        assert any(0 in stance.grades.values() for stance in kind.stances)

    def test_the_least_grade_of_several_terms_counts(self) -> None:
        nights, weekends = FIXED["nights"], FIXED["weekends"]
        no_nights = next(s for s in nights.stances if s.grades == {"yes": 0, "no": 4})
        rather_no_weekends = next(s for s in weekends.stances if s.grades == {"yes": 2, "no": 4})
        who = person(stances=((nights, no_nights), (weekends, rather_no_weekends)))
        assert grade("constraints", who, post(terms=((nights, "no"), (weekends, "yes")))) == 2
        assert grade("constraints", who, post(terms=((nights, "yes"), (weekends, "no")))) == 0

    def test_a_language_one_level_short_is_doubtful(self) -> None:
        kind = language(random.Random(1))
        for stance in kind.stances:
            assert 1 in stance.grades.values() or 0 in stance.grades.values()

    def test_of_two_values_neither_is_the_better_one_more_often(self) -> None:
        rng = random.Random(2)
        first_better = 0
        for _ in range(2000):
            _, stance, (one, two) = draw_twins(rng)
            assert stance.grades[one] != stance.grades[two]
            first_better += sorted((one, two))[0] == (one if stance.grades[one] > stance.grades[two] else two)
        assert first_better == pytest.approx(1000, abs=100)


class TestLists:
    def test_the_same_seed_gives_the_same_lists(self, lists: list[RequirementList]) -> None:
        assert list(requirement_lists(small_world(), 60, seed=1)) == lists
        assert list(requirement_lists(small_world(), 60, seed=2)) != lists

    def test_each_list_has_12_to_20_different_jobs_with_grades(self, lists: list[RequirementList]) -> None:
        policy = jobs_policy()
        for one in lists:
            assert 12 <= len(one.pairs) <= 20
            assert len({str(pair.fields) for pair in one.pairs}) == len(one.pairs)
            assert all(pair.overall == policy.overall(pair.grades) for pair in one.pairs)

    def test_all_dimensions_and_all_grades_occur(self, lists: list[RequirementList]) -> None:
        seen = {(name, g) for one in lists for pair in one.pairs for name, g in pair.grades.items()}
        for dimension in ("skills", "seniority", "domain", "constraints"):
            assert {g for name, g in seen if name == dimension} >= {0, 1, 2, 3, 4}, dimension
        assert ("constraints", None) in seen
        assert ("domain", None) in seen

    def test_the_jobs_of_a_minimal_pair_differ_in_one_dimension(self, lists: list[RequirementList]) -> None:
        for one, two in twins(lists):
            assert [name for name in one.grades if one.grades[name] != two.grades[name]] == [one.change]

    def test_the_jobs_of_a_minimal_pair_are_about_as_long(self, lists: list[RequirementList]) -> None:
        lengths = [(len(plain(a.fields)), len(plain(b.fields))) for a, b in twins(lists)]
        assert sum(abs(a - b) for a, b in lengths) / len(lengths) < 20

    def test_fields_are_those_of_the_product(self, lists: list[RequirementList]) -> None:
        for one in lists:
            assert list(one.member) == ["headline", "preferences", "skills", "experience"]
            assert all(list(pair.fields) == ["title", "terms", "skills", "description"] for pair in one.pairs)
            assert not any("{" in text or "  " in text for pair in one.pairs for text in [plain(pair.fields)])

    def test_a_world_that_is_too_small_is_an_error(self) -> None:
        whole = small_world()
        with pytest.raises(ValueError, match="lists of 3 could be drawn from 1 occupations"):
            list(requirement_lists(replace(whole, codes=whole.codes[:1], vocabulary=bare(whole.vocabulary)), 3, seed=1))


def bare(vocabulary: Vocabulary) -> Vocabulary:
    """Occupations with a single item, of which no list can be drawn."""
    return Vocabulary({c: replace(o, items=o.items[:1]) for c, o in vocabulary.occupations.items()}, {})


def twins(lists: list[RequirementList]) -> Iterator[tuple[Pair, Pair]]:
    for one in lists:
        for a, b in combinations(one.pairs, 2):
            if a.twins is not None and a.twins == b.twins:
                yield a, b


class TestHeldOut:
    def test_forms_that_are_kept_for_tests_never_occur_in_training(self) -> None:
        forms = ("a", "b", "c", "d", "e", "f", "g", "h")
        seen = {Voice(str(n)).pick(forms) for n in range(200)}
        new = {Voice(str(n), "new").pick(forms) for n in range(200)}
        assert seen == set("abcefg")
        assert new == set("dh")

    def test_parts_of_a_text_are_drawn_independently(self) -> None:
        voice = Voice("one")
        before = voice.part("level").rng.random()
        voice.rng.random()
        assert voice.part("level").rng.random() == before

    def test_a_family_is_kept_whole(self) -> None:
        families = small_world().vocabulary.families.values()
        assert all(len({item.kept for item in family}) == 1 for family in families)

    def test_training_never_speaks_of_items_that_are_kept(self, lists: list[RequirementList]) -> None:
        kept = {
            i.name for o in small_world().vocabulary.occupations.values() for i in o.items if i.kept and not i.family
        }
        texts = " ".join(plain(pair.fields) for one in lists for pair in one.pairs)
        assert kept
        assert not [name for name in kept if name in texts]

    @needs_data
    @pytest.mark.slow
    def test_held_out_occupations_are_in_no_training_list(self) -> None:
        splits: dict[str, Split] = {"13-2011.00": "test", "29-1141.00": "valid", "51-4121.00": "test"}
        found = worlds(DATA, jobs_policy(), splits)
        assert set(found) == {"train", "valid", *TESTS}
        assert not set(found["train"].codes) & set(splits)
        assert found["new occupations"].codes == ("13-2011.00", "51-4121.00")
        assert len(found["train"].codes) > 500
        lists = list(requirement_lists(found["train"], 20, seed=1))
        assert all(one.occupation not in splits for one in lists)


def test_verbs_become_gerunds_and_nouns_do_not() -> None:
    assert gerund("operate a lathe") == "operating a lathe"
    assert gerund("plan routes") == "planning routes"
    assert gerund("tie knots") == "tying knots"
    assert gerund("principles of food") == ""
    assert gerund("lathe") == ""


def test_every_level_has_forms_of_both_sides() -> None:
    for table in (level_forms.MEMBER_TITLES, level_forms.MEMBER_LEVEL, level_forms.JOB_TITLES, level_forms.JOB_LEVEL):
        assert sorted(table) == list(range(level_forms.TOP + 1))
    assert len(skill_forms.NEED) > 6
    assert len(term_forms.TWO_SIDED) + len(term_forms.ONE_SIDED) >= 12
