"""Tries of keepers at offers are numbered so that no two share a draw."""

from hypothesis import given
from hypothesis import strategies as st

from liqsim.processes.keepers import draw_key

_TRIES = st.tuples(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6))


@given(_TRIES, st.integers(0, 2), st.integers(-3_000, 3_000))
def test_no_two_tries_share_a_draw(one: tuple[int, int, int], offers: int, tries: int) -> None:
    bucket, offer_number, attempt = one
    other = bucket, offer_number + offers, max(attempt + tries, 0)

    assert (draw_key(*one) == draw_key(*other)) == (one == other)


def test_every_try_of_a_few_offers_has_its_own_draw() -> None:
    keys = {
        draw_key(bucket, offer_number, attempt)
        for bucket in range(3)
        for offer_number in range(4)
        for attempt in range(2_500)
    }

    assert len(keys) == 3 * 4 * 2_500
    assert all(0 <= number < 2**63 for key in keys for number in key)


def test_the_first_thousand_tries_are_numbered_through() -> None:
    assert [draw_key(5, 2, attempt) for attempt in (0, 999)] == [(5, 2_000), (5, 2_999)]
