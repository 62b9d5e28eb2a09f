import pytest

from service.batching.jobs import Batch, Job, NoResult
from tests.support.batching import USUAL


def job(*lengths: int) -> Job:
    return Job(USUAL, [f"item {length}" for length in lengths], lengths, arrived=0.0, deadline=1.0)


def test_a_job_holds_one_item_per_payload_in_order() -> None:
    assert [(item.payload, item.length, item.position) for item in job(7, 3).items] == [
        ("item 7", 7, 0),
        ("item 3", 3, 1),
    ]


def test_a_length_for_every_payload_is_required() -> None:
    with pytest.raises(ValueError, match="zip"):
        Job(USUAL, ["a", "b"], [1], arrived=0.0, deadline=1.0)


def test_the_first_outcome_of_an_item_counts() -> None:
    begun = job(7, 3)
    begun.settle(1, "result")
    begun.settle(1, NoResult.failed)
    assert (begun.outcomes, begun.remaining) == ([None, "result"], 1)


def test_settling_the_rest_leaves_known_outcomes_alone() -> None:
    begun = job(7, 3, 5)
    begun.settle(1, "result")
    assert begun.settle_rest(NoResult.late) == 2
    assert (begun.outcomes, begun.remaining) == ([NoResult.late, "result", NoResult.late], 0)


def test_the_padding_ratio_is_the_padded_fraction_of_the_computed_length() -> None:
    batch = Batch(USUAL, tuple(job(10, 5).items), 10)
    assert batch.padding_ratio == 0.25
