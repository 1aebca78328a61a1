"""What random tests draw does not depend on the code that has been imported."""

from hypothesis.internal.conjecture import providers


def test_constants_of_our_own_code_are_not_drawn() -> None:
    constants = providers._get_local_constants()

    assert len(constants) == 0, "a version of Hypothesis that keeps them elsewhere"
