"""What a comparison varies: variants of a scenario, as a person writes them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from liqsim.api import load_scenario
from liqsim.errors import ScenarioError, StudyError
from liqsim.scenario import Scenario
from liqsim.scenario.fields import key_of
from liqsim.scenario.overrides import said
from liqsim.study.hints import unknown
from liqsim.study.presets import NONE, keys_of, kinds, settings_of
from liqsim.study.presets import words as known_words

_LABEL: Final = re.compile(r"([^=:\[\]{}\"']+):\s+(.*)", re.DOTALL)
EACH: Final = "each"
"""Every kind of mitigation, alone."""
_TOP: Final = frozenset(key_of(attribute) for attribute in attrs.fields(Scenario))
"""Keys of a scenario that are in none of its tables, and its tables."""
_OPENING: Final = "[{"
_CLOSING: Final = "]}"


@attrs.frozen
class Variant:
    """
    A scenario with some keys set.

    Attributes:
        name: Its name in tables.
        settings: `table.key=value`, in the order in which they are set.
        words: What stands for further settings, which depend on the scenario; they come first.
        is_asked: Whether it was named itself: what was not is left out of a scenario that cannot
            have it.
    """

    name: str
    settings: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_asked: bool = True

    def resolved(self, scenario: Scenario) -> "Variant":
        """Return the variant of *scenario* without words, by what they stand for in it."""
        settings = (*settings_of(self.words, scenario), *self.settings)
        return attrs.evolve(self, settings=settings, words=())


def in_variant(variant: Variant, error: ScenarioError) -> ScenarioError:
    """Return *error* with every line of it naming *variant*, in place of its own settings."""
    if not variant.settings:
        return error
    lines = []
    for line in str(error).splitlines():
        for setting in variant.settings:
            line = line.removesuffix(said(setting.partition("=")[0].strip()))  # noqa: PLW2901
        lines.append(f"{line} (in the variant {variant.name!r})")
    found = type(error)("\n".join(lines))
    for note in getattr(error, "__notes__", ()):
        found.add_note(note)
    return found


def read_variant(text: str) -> Variant:
    """
    Return the variant that *text* names: words or settings parted by commas, behind a label.

    Words are `none`, `as_is`, generations and kinds of mitigations: see `liqsim.study.presets`.

    >>> read_variant("venue.tranches.share=0.2, venue.fund.initial_usd=0").settings
    ('venue.tranches.share=0.2', 'venue.fund.initial_usd=0')
    >>> read_variant("slow: venue.tranches.spacing=1m")
    Variant(name='slow', settings=('venue.tranches.spacing=1m',), words=(), is_asked=True)
    >>> read_variant("breaker, backstop").words
    ('breaker', 'backstop')

    Raises:
        StudyError: A part is neither a word nor a setting.
    """
    match = _LABEL.fullmatch(text.strip())
    label, body = (match[1].strip(), match[2]) if match else (text.strip(), text)
    parts = [part.strip() for part in parts_of(body)]
    words = tuple(part for part in parts if "=" not in part)
    for word in words:
        if word == EACH:
            message = f"--with {text!r}: {EACH} must stand alone: --with {EACH}"
            raise StudyError(message)
        if word not in known_words():
            told = unknown(word, known_words())
            told = told.replace("must be", "must have the form table.key=value or be", 1)
            message = f"--with {text!r}: {word!r} {told}"
            raise StudyError(message)
    settings = tuple(part for part in parts if "=" in part)
    for setting in settings:
        key = setting.partition("=")[0].strip()
        row = next((row for row, word in enumerate(words) if key in keys_of(word)), None)
        if row is not None and key not in _TOP and not {*words} - {*kinds()}:
            message = (
                f"--with {text!r}: {key} is no key of the scenario; "
                f"that of {words[row]} is mitigations.{row}.{key}"
            )
            raise StudyError(message)
    return Variant(label, settings, words)


def read_variants(texts: Sequence[str]) -> tuple[Variant, ...]:
    """
    Return the variants that *texts* name, in order.

    `each` stands for a variant of every kind that none of them is named by; if it comes first,
    the scenario without mitigations comes before it.

    Raises:
        StudyError: One cannot be read, there is none, or two have one name.
    """
    named = [text.strip() for text in texts]
    if named and named[0] == EACH:
        named = [NONE, *(text for text in named if text != NONE)]
    variants: list[Variant] = []
    for text in named:
        if text != EACH:
            variants.append(read_variant(text))
            continue
        variants += [
            Variant(kind, words=(kind,), is_asked=False) for kind in kinds() if kind not in named
        ]
    if not variants:
        message = f"--with: nothing to compare; such as --with {NONE} --with venue.tranches.share=1"
        raise StudyError(message)
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            message = f"--with: two variants are named {name!r}; a label parts them: 'NAME: …'"
            raise StudyError(message)
    return tuple(variants)


def resolved(
    variants: Sequence[Variant], file: Path, settings: Sequence[str], seed: int | None
) -> tuple[tuple[Variant, ...], dict[str, str]]:
    """
    Return *variants* of the scenario in *file* without words, and why some are left out, by name.

    Left out is what was not asked for by its name and cannot be in that scenario.

    Raises:
        ScenarioError: The scenario is refused.
    """
    base = load_scenario(file, overrides=settings, seed=seed)
    kept, left_out = [], {}
    for variant in variants:
        found = variant.resolved(base)
        if not variant.is_asked:
            try:
                load_scenario(file, overrides=[*settings, *found.settings], seed=seed)
            except ScenarioError as error:
                first_line, _, _ = str(error).splitlines()[0].partition(" (--set ")
                left_out[variant.name] = first_line.removeprefix(f"{file}: ")
                continue
        kept.append(found)
    return tuple(kept), left_out


def parts_of(body: str) -> Iterator[str]:
    """Yield what stands between commas that are in no bracket and no string."""
    depth, quote, part = 0, "", ""
    for character in body:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif character == "," and not depth:
            yield part
            part = ""
            continue
        part += character
    yield part
