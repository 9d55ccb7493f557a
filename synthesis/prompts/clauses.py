"""Clauses of a sentence: each becomes a draft of one finding, or of a further place, size or reason of another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from lark import Token, Tree

from artasyn.errors import PromptError
from artasyn.synthesis.prompts.remarks import Word

PLACES = ("side", "level", "noun", "lobe", "zone", "area")
"""The fields of a draft that tell a place. A level, such as upper, may wait for a later clause's noun, such as lobe."""
MOST_CLAUSES = 200
"""The most clauses of one sentence."""
DEGREES = ("size", "grade", "density")
"""The fields of a draft that tell how large or how dense a finding is."""

NAMED = ("FINDING", "BROAD", "OTHER", "CAUSE")
"""The terminals of findings."""
LISTED = ("and", "or", "comma")
"""The joints of a list."""

_FLAGS = {"NO": "denied", "MEANS": "explains", "MAYBE": "maybe", "NEAR": "near", "BEYOND": "beyond"}
_FLAGS |= {"GONE": "gone", "NEW": "new", "UNEVEN": "uneven"}
_TOLD = frozenset({"TOLD", "ADVICE", "ASIDE", "NEAR", "MEANS", "UNEVEN"})
_CHANGES = frozenset({"increase", "decrease", "improvement", "worsening", "progression", "interval", "reduction"})
_CHANGED = frozenset({"increased", "decreased", "improved", "worsened", "worse", "larger", "smaller", "changed"})
_LIKELY = ("likely", "most likely", "probably", "possibly", "presumably", "may be", "could be", "might be")
_FINER = {"apical": "upper", "basal": "lower"}
_SPREAD = frozenset({"patchy", "multifocal", "diffuse"})
"""Distributions that go together: the first is the prompt's."""
_VAGUE = ("", "opacity", "consolidation")
"""The meanings of general nouns, the most general first: "hazy opacity" and "airspace opacity" are more special."""
_PLAIN = ("", "opacity", "consolidation", "abnormality")
"""The meanings that say no more beside the name of a finding, such as "opacity", or "in the chest"."""
_NOUNS = ("lung", "zone", "lobe")


@dataclass
class Draft:
    """One clause while its sentence is read.

    Attributes:
        joint: how the clause is joined to the one before: ``and``, ``or``, ``with``, ``comma``, or nothing.
        kind: the terminal of its finding; empty where the clause names none.
        finding: the meaning of its finding.
        vague: whether its noun is one such as opacity, which a later clause may explain.
        plural: whether its noun stands in the plural.
        values: fields and values, as the vocabulary has them.
        late: whether its place follows its finding.
        early: whether its area comes before its finding, as in "perihilar opacity".
        denied, gone, explains, maybe, near, beyond, new, uneven, clear, normal: whether the clause holds such a word.
        measured: the words of its length.
        listed: the other clauses of its list, which have the same finding in other places.
        words: its words in their order.
        unused: words that a prompt cannot use, in their order.
    """

    joint: str = ""
    kind: str = ""
    finding: str = ""
    vague: bool = False
    plural: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    late: bool = False
    early: bool = False
    denied: bool = False
    gone: bool = False
    explains: bool = False
    maybe: bool = False
    near: bool = False
    beyond: bool = False
    new: bool = False
    uneven: bool = False
    clear: bool = False
    normal: bool = False
    measured: Word | None = None
    listed: list[Draft] = field(default_factory=list, repr=False)
    words: list[Word] = field(default_factory=list)
    unused: list[Word] = field(default_factory=list)

    @property
    def place(self) -> dict[str, Any]:
        """The values that tell a place."""
        return {name: self.values[name] for name in PLACES if name in self.values}

    @property
    def bare(self) -> bool:
        """Whether nothing but a finding is said, and perhaps its distribution."""
        return bool(self.kind) and not self.values.keys() - {"distribution"} and not self.near

    @property
    def placeless(self) -> bool:
        """Whether nothing but a finding is said, and perhaps its distribution, size and density."""
        return bool(self.kind) and not self.values.keys() - {"distribution", *DEGREES} and not self.near

    @property
    def text(self) -> str:
        """The clause's words that say something."""
        return " ".join(word.text for word in self.words)

    def put(self, name: str, value: Any) -> None:
        """Sets a field.

        Raises:
            PromptError: the field has another value already.
        """
        before = self.values.get(name)
        if name == "noun" and before:
            value = max(before, value, key=_NOUNS.index)
        elif name == "zone" and before and _FINER.get(before) == value:
            value = before
        elif before not in (None, value) and not (name == "zone" and _FINER.get(value) == before):
            raise PromptError(
                f"{self.text!r} says both {before} and {value} of one finding; write each finding and each place "
                "as a clause of its own, with a comma or 'and' between them"
            )
        self.values[name] = value

    def add(self, other: Draft) -> None:
        """Takes over what a clause without a finding says of this one.

        Raises:
            PromptError: both say different things.
        """
        self.words += other.words
        self.late = self.late or bool(other.place)
        for name, value in other.values.items():
            if name == "millimetres" and self.measured and other.measured and (self.plural or "number" in self.values):
                if value <= self.values[name]:  # "two nodules, 6 mm and 4 mm": the largest counts
                    self.unused.append(other.measured)
                    continue
                self.unused.append(self.measured)
                del self.values[name]
            self.put(name, value)
        self.measured = other.measured or self.measured
        for flag in ("maybe", "denied", "near", "beyond", "new", "uneven"):
            setattr(self, flag, getattr(self, flag) or getattr(other, flag))
        self.unused += other.unused


def drafts_of(sentence: Tree[Any]) -> list[Draft]:
    """Returns the drafts of a sentence's clauses.

    Args:
        sentence: a tree ``said`` of the grammar.

    Raises:
        PromptError: a clause says two things of one finding, or there are too many clauses.
    """
    found: list[Draft] = []
    joint = ""
    for child in sentence.children:
        assert isinstance(child, Tree)
        if child.data == "joint":
            joint = words_of(child)[0].kind.lower()
        else:
            for part in _split(child.children):
                found.append(_draft(part, joint))
                joint = ""
    if len(found) > MOST_CLAUSES:
        raise PromptError(f"a sentence has {len(found)} clauses, more than {MOST_CLAUSES}; write several sentences")
    return found


def words_of(node: Tree[Any] | Token) -> list[Word]:
    """Returns the words of a node of the grammar's tree, without those of nodes below its children."""
    return [token.value for token in ([node] if isinstance(node, Token) else node.children) if isinstance(token, Token)]


def _split(nodes: list[Any]) -> list[list[Any]]:
    """Splits a clause before a word of doubt that stands between two findings: "opacity, likely pneumonia".

    A cause of the finding of an earlier clause is split off too: "opacity in the RUL and LLL, possible infection".
    """
    kinds = [words_of(node)[0].kind for node in nodes]
    named = [at for at, kind in enumerate(kinds) if kind in NAMED]
    doubt = [at for at, kind in enumerate(kinds) if kind == "MAYBE"]
    cut = next((at for at in doubt if named and named[0] < at < named[-1]), None)
    if named and kinds[-2:] == ["MAYBE", "CAUSE"] and {"SPOT", "NOUN"} & set(kinds[: named[0]]):
        cut = len(nodes) - 2
    last = doubt[-1] if doubt else 0
    if cut is None and named and named[-1] < last and set(kinds[last + 1 :]) == {"TOLD"}:  # "may be projectional"
        cut = last if words_of(nodes[last])[0].text.startswith(_LIKELY) else None
    return [nodes] if cut is None else [nodes[:cut], nodes[cut:]]


def _draft(nodes: list[Any], joint: str) -> Draft:
    draft = Draft(joint, words=[word for node in nodes for word in words_of(node)])
    before = ""
    for node in nodes:
        words = words_of(node)
        name = node.data if isinstance(node, Tree) else "cue"
        if name == "finding":
            _name(draft, words[0], before)
        elif name == "place":
            _locate(draft, words[0])
        elif name == "length":
            _measure(draft, words)
        elif name == "degree" and _compares(nodes, node):
            draft.unused.append(_phrase(words))
        elif name == "degree":
            draft.put(words[-1].kind.lower(), words[-1].meaning)
            if len(words) > 1:
                draft.unused.append(_phrase(words[:-1]))
        elif name == "count":
            _count(draft, words[0])
        else:
            _cue(draft, words[0])
        before = words[-1].kind
    if draft.values.get("lobe") == "lingula":
        draft.values.setdefault("side", "left")
    for word in draft.words:
        if (
            draft.kind and word.kind == "TOLD" and word.meaning.startswith("side=")
        ):  # "the right heart border is obscured by"
            draft.values.setdefault("side", word.meaning.removeprefix("side="))
    return draft


def _compares(nodes: list[Any], degree: Any) -> bool:
    """Whether a degree tells how much a finding has changed, as in "mild increase in the effusion"."""
    at = next(number for number, node in enumerate(nodes) if node is degree) + 1
    after = words_of(nodes[at])[0] if at < len(nodes) else None
    if after is None or after.kind != "TOLD":
        return False
    if after.meaning == "feature":  # "with a small air fluid level"
        return True
    adverb = words_of(degree)[-1].text.endswith("ly")  # "markedly improved", but not "mild improved"
    return after.text.split()[0] in (_CHANGES | _CHANGED if adverb else _CHANGES)


def _name(draft: Draft, word: Word, before: str) -> None:
    """Notes the name of a finding; one that is more special, such as "reticular" of "opacity", wins.

    Raises:
        PromptError: the clause names two findings.
    """
    if word.kind in ("CLEAR", "NORMAL"):
        draft.clear, draft.normal = draft.clear or word.kind == "CLEAR", draft.normal or word.kind == "NORMAL"
        return
    if word.kind == "BLUNT":
        word = Word("FINDING", "pleural_effusion", word.text, word.start, word.end)
        draft.values.setdefault("size", "small")
    draft.vague = word.kind == "BROAD"
    pattern = before == "IN" and word.meaning.endswith("_pattern")
    rank = {"": 0, "ORGAN": 1, "BROAD": 2, "CAUSE": 3, "OTHER": 4, "FINDING": 4}
    new, old = rank[word.kind], rank[draft.kind]
    if word.kind == "BROAD" == draft.kind:
        new, old = (_VAGUE.index(each) if each in _VAGUE else 9 for each in (word.meaning, draft.finding))
    if draft.finding == word.meaning and draft.kind not in ("", "ORGAN"):
        draft.plural = draft.plural or word.plural
    elif word.meaning == "perihilar_opacity" and before == draft.kind == "FINDING":  # "streaky perihilar opacities"
        draft.put("area", "central")
    elif pattern or new > old:
        if draft.finding not in (*_PLAIN, word.meaning) and not pattern:
            draft.unused.append(next(each for each in draft.words if each.kind == draft.kind))
        draft.kind, draft.finding, draft.plural = word.kind, word.meaning, word.plural or draft.plural
    elif new < old or word.kind in ("BROAD", "CAUSE"):
        draft.plural = draft.plural or (word.plural and word.kind != "ORGAN")
        if word.meaning not in _PLAIN:
            draft.unused.append(word)
    else:
        raise PromptError(f"{draft.text!r} names two findings; put a comma, 'and' or 'with' between them")


def _locate(draft: Draft, word: Word) -> None:
    if word.kind == "IN":
        return
    if draft.kind and not draft.place:
        draft.late = True
    if word.kind == "SPOT":
        for part in word.meaning.split():
            name, _, value = part.partition("=")
            draft.early = draft.early or (name == "area" and not draft.kind)
            if not (name == "side" and value == "both" and "side" in draft.values):  # "right costophrenic angles"
                draft.put(name, value)
    else:
        draft.put(word.kind.lower(), word.meaning)
    if word.kind == "NOUN" and "level" in draft.values:
        draft.put("lobe" if word.meaning == "lobe" else "zone", draft.values.pop("level"))


def _measure(draft: Draft, words: list[Word]) -> None:
    """Notes the largest length in millimetres; the others are unused."""
    lengths: list[tuple[float, Word]] = []
    unit = next(word for word in words if word.kind == "UNIT")
    for word, after in zip(words, [*words[1:], unit], strict=True):
        if word.kind == "NUMBER":
            unit = after if after.kind == "UNIT" else next(each for each in reversed(words) if each.kind == "UNIT")
            said = Word("TOLD", "", word.text, word.start, after.end if after.kind == "UNIT" else word.end)
            lengths.append((float(Decimal(word.meaning) * Decimal(unit.meaning)), said))
    largest = max(lengths, key=lambda each: each[0])
    draft.put("millimetres", largest[0])
    draft.measured = largest[1]
    draft.unused += [said for length, said in lengths if length < largest[0]]


def _count(draft: Draft, word: Word) -> None:
    """Notes a number of lesions.

    Raises:
        PromptError: the number is no whole one.
    """
    if word.kind == "AMOUNT":
        draft.put("amount", word.meaning)
        return
    if not word.meaning.isdecimal() or len(word.meaning) > 9:
        raise PromptError(
            f"{word.text[:20]!r} in {draft.text[:80]!r} is no number of lesions; write a whole number from 1 to 100, "
            "or a length with mm or cm"
        )
    draft.put("number", int(word.meaning))


def _cue(draft: Draft, word: Word) -> None:
    if (
        word.kind == "SPREAD"
        and draft.values.get("distribution") in _SPREAD - {word.meaning}
        and word.meaning in _SPREAD
    ):
        draft.unused.append(word)  # "patchy opacities throughout both lungs" are patchy
    elif word.kind == "SPREAD":
        draft.put("distribution", word.meaning)
    if word.kind == "GONE":
        draft.denied = True
    if word.kind in _FLAGS:
        setattr(draft, _FLAGS[word.kind], True)
    if word.kind in _TOLD:
        draft.unused.append(word)


def _phrase(words: list[Word]) -> Word:
    return Word("TOLD", "", " ".join(word.text for word in words), words[0].start, words[-1].end)
