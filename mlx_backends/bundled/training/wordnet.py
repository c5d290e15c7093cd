"""Derives sets of synonyms from WordNet's database, for the words that technical prose uses.

WordNet 3.0 comes with Debian's `wordnet-base`. Only close synonyms are kept: the set must be the
main sense of its words.
"""

import re
from collections import Counter
from collections.abc import Iterable
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
_LEAST = {"n": 12, "v": 5, "a": 8}  # occurrences that make one word of a set common enough
_ODD = frozenset(  # words whose main sense is another one in technical prose
    "works auto being scores terms proceedings authorities environ zip bump min mint dash populate fetching "
    "pronounced file circumstances cook muse float figure panic except".split()
)
_WORD = re.compile(r"[a-z]{3,14}")


def write(database: Path, prose: Iterable[str], target: Path) -> None:
    """Write the sets for the words of some prose."""
    counts = Counter(word for sentence in prose for word in _WORD.findall(sentence.lower()))
    lines = [
        f"{kind} {' '.join(words)}" for kind in _FILES for words in _sets(database, kind, counts)
    ]
    target.write_text(NOTICE + "\n".join(sorted(lines)) + "\n", encoding="utf-8")


def _sets(database: Path, kind: str, counts: Counter[str]) -> list[list[str]]:
    senses = _senses(database / f"index.{_FILES[kind]}")
    irregular = _irregular(database / f"{_FILES[kind]}.exc")
    main_kind = _main_kinds(database)
    found = []
    for offset, words in _members(database / f"data.{_FILES[kind]}"):
        kept = [
            word
            for word in words
            if _WORD.fullmatch(word)
            and offset in senses.get(word, [])[: 1 if kind == "n" else 2]
            and main_kind.get(word) == kind
            and (kind == "a" or _is_regular(word, kind, irregular))
            and counts[word] >= 2
        ]
        common = [word for word in kept if counts[word] >= _LEAST[kind]]
        if len(kept) > 1 and common and not _ODD & set(kept):
            found.append(sorted(kept, key=lambda word: -counts[word])[:4])
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
