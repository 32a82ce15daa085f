"""First names of women and men, in pairs: what a text can tell of gender beside its words for it."""

from collections import Counter
from functools import cache

from fairnc_utils import _io, swap

#: Words that stand where first names do, beside those that the swap of words exchanges.
_TITLES = frozenset(
    "miss ibn saint st pope captain colonel general sister dame dr mr mrs ms sir the de van von di la el al big".split()
)


@cache
def paired() -> tuple[tuple[str, str], ...]:
    """(female, male) first names of the people whom GAP development's pronouns mean, paired by
    rank.

    Of names of several words the first, if its people have one gender. They give evidence to 221 of
    the 809 pairs that have none without them (sentences of GAP development that name none of the 60
    occupations); not all of them are as long once swapped.
    """
    columns = ("Pronoun", "A", "A-coref", "B", "B-coref")
    counts = {True: Counter(), False: Counter()}
    for row in _io.table("GAP/gap-development.tsv", columns, delimiter="\t", quoted=False):
        female = row["Pronoun"].lower() in ("she", "her", "hers")
        for person in ("A", "B"):
            words = row[person].split()
            if row[f"{person}-coref"].upper() == "TRUE" and len(words) > 1 and _is_name(words[0]):
                counts[female][words[0]] += 1
    ranked = [
        [name for name, _ in counts[gender].most_common() if not counts[not gender][name]]
        for gender in (True, False)
    ]
    return tuple(zip(*ranked, strict=False))


def _is_name(word: str) -> bool:
    """Whether a capitalized word before a name is itself one: no initial, no title."""
    return (
        word.isalpha()
        and len(word) > 1
        and word.lower() not in _TITLES
        and swap.gender(word) == word
    )
