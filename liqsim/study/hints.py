"""What a word that is not known was perhaps meant to be."""

import difflib
from collections.abc import Iterable


def unknown(word: str, known: Iterable[str]) -> str:
    """
    Return what is said of a *word* that is none of *known*: the nearest one, or all there are.

    >>> unknown("fee_usd", ["fees_usd", "unpaid_usd"]), unknown("pain", ["fees_usd", "unpaid_usd"])
    ('is not known; did you mean fees_usd?', 'must be one of fees_usd, unpaid_usd')
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    return (
        f"is not known; did you mean {near[0]}?" if near else f"must be one of {', '.join(names)}"
    )
