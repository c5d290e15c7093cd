"""Derives sets of synonyms from WordNet's database, for the words that technical prose uses.

WordNet 3.0 comes with Debian's `wordnet-base`. `wordnet.txt` holds close synonyms alone: the set must
be the main sense of its words. `wordnet_wide.txt` has looser and rarer ones too, for training only.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlx_backends.bundled.training import grammar

NOTICE = """\
# Sets of synonyms derived from WordNet 3.0, Copyright 2006 by Princeton University. All rights
# reserved. Used under the WordNet 3.0 licence: permission to use, copy, modify and distribute this
# software and database and its documentation for any purpose and without fee or royalty is hereby
# granted, provided that this notice and the disclaimer appear on all copies. THIS SOFTWARE AND
# DATABASE IS PROVIDED "AS IS" AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES,
# EXPRESS OR IMPLIED, OF MERCHANTABILITY OR FITNESS FOR ANY PARTICULAR PURPOSE OR THAT THE USE OF
# THE LICENSED SOFTWARE, DATABASE OR DOCUMENTATION WILL NOT INFRINGE ANY THIRD PARTY PATENTS,
# COPYRIGHTS, TRADEMARKS OR OTHER RIGHTS. The name of Princeton University may not be used in
# advertising or publicity pertaining to distribution of the software.
"""
_FILES = {"n": "noun", "v": "verb", "a": "adj"}


@dataclass(frozen=True, slots=True)
class Closeness:
    """Which sets are kept.

    Attributes:
        senses: Among how many of a word's first senses the set must be, by part of speech.
        least: Occurrences that make one word of a set common enough, by part of speech.
        least_each: Occurrences of each word.
        has_main_sense: Whether the set must be the first sense of one of its words.
        most_words: Words of a set.
        takes_untagged: Whether a word may be of no part of speech in WordNet's tagged texts.
    """

    senses: dict[str, int]
    least: dict[str, int]
    least_each: int
    has_main_sense: bool
    most_words: int
    takes_untagged: bool


CLOSE = Closeness({"n": 1, "v": 2, "a": 2}, {"n": 12, "v": 5, "a": 8}, 2, False, 4, False)
WIDE = Closeness({"n": 2, "v": 3, "a": 3}, {"n": 4, "v": 4, "a": 4}, 1, True, 5, True)
_ODD = frozenset(  # words whose main sense is another one in technical prose
    "works auto being scores terms proceedings authorities environ zip bump min mint dash populate fetching "
    "pronounced file circumstances cook muse float figure panic except".split()
)
_WORD = re.compile(r"[a-z]{3,14}")


def write(database: Path, prose: Iterable[str], target: Path, closeness: Closeness = CLOSE) -> None:
    """Write the sets for the words of some prose."""
    counts = Counter(word for sentence in prose for word in _WORD.findall(sentence.lower()))
    lines = [
        f"{kind} {' '.join(words)}"
        for kind in _FILES
        for words in _sets(database, kind, counts, closeness)
    ]
    target.write_text(NOTICE + "\n".join(sorted(lines)) + "\n", encoding="utf-8")


def _sets(database: Path, kind: str, counts: Counter[str], closeness: Closeness) -> list[list[str]]:
    senses = _senses(database / f"index.{_FILES[kind]}")
    irregular = _irregular(database / f"{_FILES[kind]}.exc")
    main_kind = _main_kinds(database)
    found = []
    for offset, words in _members(database / f"data.{_FILES[kind]}"):
        kept = [
            word
            for word in words
            if _WORD.fullmatch(word)
            and offset in senses.get(word, [])[: closeness.senses[kind]]
            and main_kind.get(word, kind if closeness.takes_untagged else "") == kind
            and (kind == "a" or _is_regular(word, kind, irregular))
            and counts[word] >= closeness.least_each
        ]
        common = [word for word in kept if counts[word] >= closeness.least[kind]]
        is_main = any(offset == senses[word][0] for word in kept)
        is_close = len(kept) > 1 and bool(common) and not _ODD & set(kept)
        if is_close and (is_main or not closeness.has_main_sense):
            found.append(sorted(kept, key=lambda word: -counts[word])[: closeness.most_words])
    return found


def _senses(path: Path) -> dict[str, list[str]]:
    """Map each word to the offsets of its senses, the most frequent first."""
    result = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        if not line.startswith(" "):
            fields = line.split()
            pointers = int(fields[3])
            result[fields[0]] = fields[6 + pointers :]
    return result


def _members(path: Path) -> Iterable[tuple[str, list[str]]]:
    for line in path.read_text(encoding="latin-1").splitlines():
        if not line.startswith(" "):
            fields = line.split()
            count = int(fields[3], 16)
            yield (
                fields[0],
                [re.sub(r"\(\w+\)$", "", word) for word in fields[4 : 4 + 2 * count : 2]],
            )


def _main_kinds(database: Path) -> dict[str, str]:
    """Map a word to the part of speech that it mostly has in WordNet's tagged texts."""
    totals: dict[str, Counter[str]] = {}
    for line in (database / "cntlist.rev").read_text(encoding="latin-1").splitlines():
        key, _, count = line.split()
        word, _, rest = key.partition("%")
        kind = {"1": "n", "2": "v", "3": "a", "5": "a"}.get(rest[0], "r")
        totals.setdefault(word, Counter())[kind] += int(count)
    return {
        word: kinds.most_common(1)[0][0]
        for word, kinds in totals.items()
        if kinds.most_common(1)[0][1] >= 0.7 * kinds.total()
    }


def _irregular(path: Path) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        form, *bases = line.split()
        for base in bases:
            result.setdefault(base, set()).add(form)
    return result


def _is_regular(word: str, kind: str, irregular: dict[str, set[str]]) -> bool:
    """Tell whether the grammar writes every form of a word right."""
    forms = irregular.get(word, set())
    if kind == "n":
        return forms <= {grammar.plural(word)}
    verb = grammar.conjugate(word)
    return forms <= {verb.third, verb.past, verb.participle, verb.gerund}
