import pytest

from service.work import Batch, PairOutcome, PairStatus, Request

SCORED = PairOutcome(PairStatus.scored, (0.5,))
NOT_SCORED = PairOutcome(PairStatus.not_scored)


def request(*lengths: int) -> Request:
    return Request.of("lane", [f"pair {length}" for length in lengths], lengths, arrived=0.0, deadline=1.0)


def test_a_request_holds_one_pair_per_payload_in_order() -> None:
    pairs = request(7, 3).pairs
    assert [(pair.payload, pair.length, pair.position) for pair in pairs] == [
        ("pair 7", 7, 0),
        ("pair 3", 3, 1),
    ]


def test_a_length_for_every_payload_is_required() -> None:
    with pytest.raises(ValueError, match="zip"):
        Request.of("lane", ["a", "b"], [1], arrived=0.0, deadline=1.0)


def test_the_first_outcome_of_a_pair_counts() -> None:
    work = request(7, 3)
    work.settle(1, SCORED)
    work.settle(1, NOT_SCORED)
    assert (work.outcomes, work.remaining) == ([None, SCORED], 1)


def test_settling_the_rest_leaves_known_outcomes_alone() -> None:
    work = request(7, 3, 5)
    work.settle(1, SCORED)
    assert work.settle_rest(NOT_SCORED) == 2
    assert (work.outcomes, work.remaining) == ([NOT_SCORED, SCORED, NOT_SCORED], 0)


def test_padding_is_the_share_of_computed_tokens_that_nobody_sent() -> None:
    batch = Batch("lane", tuple(request(10, 5).pairs), 10)
    assert (batch.padded_tokens, batch.padding_ratio) == (20, 0.25)
