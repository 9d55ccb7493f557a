"""The words of a sentence as terminals of the grammar: the longest known phrase first, and unknown words refused."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lark.lexer import Lexer, Token

from artasyn.errors import PromptError
from artasyn.synthesis.prompts.remarks import HIDDEN, WHEN, Word, hidden_side, may_be_finding, told_remarks
from artasyn.synthesis.prompts.vocabulary import lengths, phrases_with, terms

LONGEST = 25_000
"""The most characters of a prompt."""

_PIECE = re.compile(
    rf'"[^"]*"|{WHEN.pattern}|{HIDDEN.pattern}|\d+(?:st|nd|rd|th)\b|\d+(?:\.\d+)?|[^\W\d_]+(?:\'[^\W\d_]+)?|\S|\n'
)
MOST_UNKNOWN = 20
"""The most unknown words that an error shows."""
_SHORT = {"w/o": "without", "b/l": "bilateral", "c/w": "consistent with", "s/p": "status post", "d/t": "due to"}
_SHORT |= {"r/o": "rule out", "h/o": "history of", "f/u": "follow up", "i/k/w": "in keeping with", "w/": "with "}
_SIGNS = {",": "COMMA", "(": "COMMA", ")": "COMMA", ".": "STOP", ";": "STOP", "!": "STOP", "?": "STOP", "\n": "STOP"}
_JOINTS = ("COMMA", "AND", "WITH", "OR", "EXCEPT")
_ENDS = ("WITH", "NO", "WITH+NO", "MEANS", "EXCEPT")
"""The terminals that end an aside."""
_GOES_ON = ("is", "are", "has", "have", "now", "remains", "remain", "there", "appears", "appear")
"""The words after "and" that go on with what was said before an aside."""
_FOUND = ("FINDING", "OTHER", "BROAD", "CAUSE", "CLEAR", "NORMAL")
_EARLIER = ("of", "post", "following", "to", "than", "with", "treatment")
"""The last words of asides about an earlier illness, such as "history of", or a comparison."""
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_QUOTES = {ord("\u2019"): "'", ord("\u201c"): '"', ord("\u201d"): '"', ord("\u00d7"): "x"}


def plain(text: str) -> str:
    """Returns a text in lower case, with one kind of dash and quote, single spaces, and words without hyphens.

    Example:
        >>> plain("Thick-walled  cavity, 3–4 cm; ?left effusion")
        'thick walled cavity, 3 to 4 cm; possible left effusion'
    """
    text = unicodedata.normalize("NFKC", text).translate(_DASHES | _QUOTES)
    text = re.sub(r"\b(approx|bilat|vs|prev|incl|mod|min|max)\.(?=\s*[\da-z])", r"\1", text, flags=re.I).lower()
    text = re.sub(r"(?<=\d)\s*-\s*(?=\d)", " to ", text)
    text = re.sub(r"(?<=\w)-(?=\w)", " ", text)
    text = re.sub(r"(^|(?<=[\s,(/]))\?\s*(?=[a-z])", "possible ", text)
    for short, whole in _SHORT.items():
        text = re.sub(rf"(?<!\w){short}" + ("" if short[-1] == "/" else r"(?!\w)"), whole, text)
    text = re.sub(r"(?<![^.;,:\n?!])([^.;,:\n?!]*\w)\?(?=\s|$)", r" possible \1.", text)
    if re.search(r"(^|[:.;\n])\s*1[.)]\s", text):  # a numbered list, perhaps on one line
        text = re.sub(r"(?<![\w.])\d{1,2}[.)]\s+(?=[^\W\d])", "; ", text)
    text = re.sub(r"(?<![\d.mc] )(?<!\d)\bx ?(\d+)\b(?!\.?\d* ?[mc]m|\.\d| ?x)", r"\1", text)  # "nodules x2"
    text = re.sub(r"(\w:)[^\S\n]*\n+", r"\1 ", text)  # a heading on a line of its own
    text = re.sub(r"(^|[.;\n])\s*\d{1,2}[.)]\s+(?=[^\W\d])", r"\1 ", text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def read_words(text: str) -> tuple[Word, ...]:
    """Returns the words of a plain text in their order, without those that say nothing, such as "there is".

    Args:
        text: as `plain` returns it.

    Raises:
        PromptError: a word is unknown; the message names each with the nearest known words.
    """
    pieces = [(match[0], match.start(), match.end()) for match in _PIECE.finditer(text)]
    found: list[Word] = []
    at = 0
    while at < len(pieces):
        piece, start, end = pieces[at]
        size = _longest(pieces, at)
        if size:
            end = pieces[at + size - 1][2]
            found += _of_term(text, start, end)
            if (
                found
                and found[-1].kind == "ASIDE"
                and pieces[at + size : at + size + 1]
                and pieces[at + size][0][0].isdigit()
            ):
                found[-1] = replace(found[-1], kind="TOLD")  # "under 4 mm"
            elif found and found[-1].kind in ("ADVICE", "ASIDE"):
                size += _rest(pieces, at + size, found[-1].kind == "ASIDE")
                found[-1] = Word(
                    found[-1].kind, "", text[start : pieces[at + size - 1][2]], start, pieces[at + size - 1][2]
                )
        elif piece in _SIGNS:
            found.append(Word(_SIGNS[piece], "", piece, start, end))
        elif piece[0] == '"' and len(piece) > 2:
            found.append(Word("QUOTED", piece[1:-1], piece, start, end))
        elif WHEN.fullmatch(piece):
            found.append(Word("TOLD", "when", piece, start, end))
        elif HIDDEN.fullmatch(piece):
            found.append(Word("TOLD", hidden_side(piece), piece, start, end))
        elif piece[0].isdigit():
            found.append(Word("NUMBER", piece, piece, start, end))
        elif (piece == "-" and text[end : end + 1] in ("", " ")) or (piece == ":" and _names(found)):
            found.append(Word("COMMA", "", piece, start, end))
        elif piece != ":":
            found.append(Word("TOLD" if _is_inflected(piece) else "UNKNOWN", "", piece, start, end))
        at += max(size, 1)
    found = told_remarks(_listed(found), text)
    unknown = [word.text for word in found if word.kind == "UNKNOWN"]
    if unknown:
        raise PromptError(_unknown(unknown))
    said = [word for word in found if word.kind != "FILLER"]
    for at, (before, word, after) in enumerate(zip(said, said[1:], said[2:], strict=False)):
        if word.kind == "TO" and before.kind == after.kind == "LEVEL":  # "mid to lower zones"
            said[at + 1] = replace(word, kind="AND")
        if word.kind == "TO" and before.kind == "TOLD":  # "increased from 5 mm to 8 mm", "6th to 8th"
            said[at + 1] = replace(word, kind="TOLD" if after.kind == "TOLD" else "FILLER")
        if word.kind == "GONE" and after.meaning == "when":  # "not seen on the previous film" is new
            said[at + 1] = replace(word, kind="TOLD", text=text[word.start : after.end], end=after.end)
    return tuple(_joined(word for word in said if word.kind != "FILLER"))


def merged(unused: list[Word], plain_text: str) -> tuple[str, ...]:
    """Returns unused words in the order of the text, neighbours together, each once.

    Args:
        unused: the words.
        plain_text: the text that their positions count in.
    """
    spans: list[list[int]] = []
    for word in sorted(unused, key=lambda each: (each.start, -each.end)):
        if spans and plain_text[spans[-1][1] : word.start].strip() == "" and word.start <= spans[-1][1] + 1:
            spans[-1][1] = max(spans[-1][1], word.end)
        elif not (spans and word.end <= spans[-1][1]):
            spans.append([word.start, word.end])
    return tuple(dict.fromkeys(" ".join(plain_text[start:end].split()) for start, end in spans))


class WordLexer(Lexer):
    """Gives the words of a text to the parser."""

    def __init__(self, conf: Any) -> None:
        pass

    def lex(self, data: tuple[Word, ...]) -> Iterator[Token]:  # type: ignore[override]
        """Returns a token for each word; its value is the `Word`.

        Args:
            data: the words, as `read_words` returns them.
        """
        for word in data:
            yield Token(word.kind, word)


def _longest(pieces: list[tuple[str, int, int]], at: int) -> int:
    """Returns how many pieces the longest known phrase at this place has; 0 where there is none."""
    for size in lengths().get(pieces[at][0], ()):
        if at + size <= len(pieces) and " ".join(piece for piece, _, _ in pieces[at : at + size]) in terms():
            return size
    return 0


def _of_term(text: str, start: int, end: int) -> list[Word]:
    words = text[start:end]
    term = terms()[" ".join(match[0] for match in _PIECE.finditer(words))]
    return [Word(kind, term.meaning, words, start, end, term.plural) for kind in term.kind.split("+")]


def _rest(pieces: list[tuple[str, int, int]], start: int, aside: bool) -> int:
    """Returns how many pieces stand before the end of the sentence; an aside ends with its clause.

    Raises:
        PromptError: an aside holds a finding, which would not be drawn.
    """
    at = start
    joined = 0  # where "and" stands, which ends an aside if a finding follows
    while at < len(pieces) and _SIGNS.get(pieces[at][0]) not in (("STOP", "COMMA") if aside else ("STOP",)):
        size = _longest(pieces, at) or 1
        kind = _kind(pieces[at : at + size])
        if aside and (kind in _ENDS or (kind == "AND" and at + 1 < len(pieces) and pieces[at + 1][0] in _GOES_ON)):
            break
        if aside and joined and kind in _FOUND:
            return joined - start
        if aside and kind == "FINDING" and pieces[start - 1][0] not in _EARLIER:
            said = " ".join(piece for piece, _, _ in pieces[start - 1 : at + size])
            raise PromptError(
                f"{said!r} holds a further finding in a remark; write it as a clause of its own, after a comma, or "
                "leave it out"
            )
        joined = joined or (at if kind in ("AND", "OR") else 0)
        at += size
    return at - start


def _names(words: list[Word]) -> bool:
    """Whether a finding stands after the last comma or full stop, so that a colon does not end a heading."""
    ends = [at for at, word in enumerate(words) if word.kind in ("COMMA", "STOP")]
    return any(word.kind in _FOUND for word in words[ends[-1] + 1 if ends else 0 :])


def _kind(pieces: list[tuple[str, int, int]]) -> str:
    term = terms().get(" ".join(piece for piece, _, _ in pieces))
    return term.kind if term else ""


def _joined(words: Iterator[Word]) -> Iterator[Word]:
    """Gives the words with one joint where several stand together, as in ", and"; none at the ends of sentences."""
    waiting: Word | None = None
    fresh = True
    for word in words:
        if word.kind in _JOINTS:
            if waiting is None or _JOINTS.index(word.kind) > _JOINTS.index(waiting.kind):
                waiting = word
            continue
        if waiting and not (waiting.kind == "COMMA" and (fresh or word.kind == "STOP")):
            yield waiting
        waiting, fresh = None, word.kind == "STOP"
        yield word
    if waiting and waiting.kind != "COMMA":
        yield waiting


def _is_inflected(word: str) -> bool:
    """Whether a word is another form of an unused one, such as "components" or "enlargingly"."""
    stems = [word[: -len(end)] for end in ("s", "es", "ed", "ing", "ly", "d") if word.endswith(end)]
    forms = [stem + end for stem in (word, *stems) for end in ("", "e", "s", "ed", "d", "ing", "ly")]
    known = [terms()[form] for form in forms if len(form) > 3 and form in terms()]
    return (
        len(word) > 4
        and bool(known)
        and not may_be_finding(word)
        and all(term.kind in ("TOLD", "FILLER") and term.meaning != "spared" for term in known)
    )


def _listed(words: list[Word]) -> list[Word]:
    """Gives a semicolon as a comma where a place or size without a finding follows: "right effusion; small left"."""
    given = list(words)
    for at, word in enumerate(words):
        if word.text != ";" or not at:
            continue
        rest = words[at + 1 :]
        rest = rest[: next((end for end, each in enumerate(rest) if each.kind == "STOP"), len(rest))]
        kinds = {kind for each in rest for kind in each.kind.split("+")}
        if kinds & {"SIDE", "SPOT", "LEVEL"} and not kinds & {
            *_FOUND,
            "ORGAN",
            "BLUNT",
            "UNKNOWN",
            "ADVICE",
            "NO",
            "GONE",
        }:
            given[at] = replace(word, kind="COMMA")
    return given


def _unknown(words: list[str]) -> str:
    said = []
    for word in list(dict.fromkeys(words))[:MOST_UNKNOWN]:
        near = phrases_with().get(word) or difflib.get_close_matches(word, phrases_with(), n=3, cutoff=0.6)
        said.append(f"{word!r}" + (f" (known: {', '.join(near)})" if near else ""))
    return (
        f"unknown words {', '.join(said)}; write them otherwise or leave them out. docs/generation.md lists what can "
        "be said"
    )
