"""Remarks that say nothing of a finding: dates, volumes, hidden landmarks, clauses about the patient or the film."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from artasyn.synthesis.prompts.vocabulary import terms


@dataclass(frozen=True)
class Word:
    """One term where it stands in a text.

    Attributes:
        kind: the terminal.
        meaning: as `artasyn.synthesis.prompts.vocabulary.Term` has it, or a number.
        text: as written, in lower case and without hyphens.
        start: the first character in the plain text.
        end: the character after the last.
        plural: whether a noun stands in the plural.
    """

    kind: str
    meaning: str
    text: str
    start: int
    end: int
    plural: bool = False


_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR = r"(?:19|20)\d\d\b(?! ?[mc]m\b| to |\.\d)"
_DATE = (
    rf"(?:\d{{4}} to \d\d? to \d\d?\b|\d\d?[/.]\d\d?[/.]\d{{2,4}}\b|\d\d?(?:st|nd|rd|th)?(?: of)? {_MONTH}\b"
    rf"(?:,? \d{{4}}\b)?|{_MONTH} \d\d?(?:st|nd|rd|th)?\b(?:,? \d{{4}}\b)?|{_MONTH} \d{{4}}\b|{_YEAR})"
)
_NUMBER = "(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|several|few|a few|many|a couple of|couple of)"
_TIME = r"(?:min(?:ute)?|hour|hr|day|night|week|wk|fortnight|month|year|yr|decade)s?"
_BEFORE = "(?:prior|previous|earlier|last|most recent|recent|preceding|old|older|available|baseline|initial|outside)"
_FILM = (
    "(?:study|studies|films?|radiographs?|radiography|examinations?|exams?|x rays?|cxrs?|imaging|images?|ct|ct scan"
    "|scans?|ones?|chest radiographs?|chest x rays?|chest films?|ct chest|ct thorax|chest ct|series)"
)
_AGO = (
    "(?:yesterday|today|before|previously|admission|this morning|last (?:week|night|month|year)|then|earlier|baseline"
    "|presentation|surgery|discharge|(?:last )?(?:mon|tues|wednes|thurs|fri|satur|sun)day)"
)
_SINCE = "(?:(?:as |when |in )?(?:compared|comparison|relative) (?:to|with)|since|from|than|on|in|at|as on|to|versus)"
_MADE = (
    r"(?:of|from|dated|on|in|performed on|taken on|performed|taken) (?:the )?"
    rf"(?:{_DATE}|{_MONTH}\b|\d+ {_TIME} ago|{_AGO}\b)"
)
_LONG = rf"(?:\d+|{_NUMBER})(?: (?:to|or) (?:\d+|{_NUMBER}))? {_TIME}\b"
_LENGTH = r"\d+(?:\.\d+)?(?: ?(?:mm|cm)?(?: x | by )\d+(?:\.\d+)?){0,3} ?(?:mm|cm)\b"
_EARLIER_THAN = (
    "(?:(?:previously|formerly|initially|earlier|prior|was|up from|down from|compared (?:to|with)|from"
    "|(?:increased|decreased|grown|reduced|enlarged|shrunk) from)"
    "(?: (?:measured|measuring|at|approximately|about|a))*)"
)
_DURING = "(?:for|over|within|during|after)"
_SEEN = "(?:seen|noted|identified|described|reported|present|visible|demonstrated|shown)"
WHEN = re.compile(
    rf"(?:(?:since|from|in|of|on|dated|until|as of) (?:the )?)?{_DATE}"
    rf"|(?:since|in|from|until) (?:early |mid |late |last )?{_MONTH}\b"
    r"|\d\d?:\d\d\b(?: ?hours| ?hrs| ?am| ?pm)?|\d\d?/(?:7|52|12)\b"
    rf"|(?:{_DURING} (?:the )?(?:(?:last|past|preceding|previous|first) )?)?(?:at least )?{_LONG}"
    r"(?: ago| earlier| prior| old| later| previously| before| duration| interval)?"
    rf"|(?:(?:not )?{_SEEN} )?{_SINCE} (?:(?:the |a |an |his |her )?(?:(?:{_BEFORE}|{_BEFORE} and {_BEFORE}) )+"
    rf"(?:chest |frontal |portable )?{_FILM}\b(?: {_MADE})?"
    rf"|(?:the )?(?:prior|previous|last)\b(?! \w+ (?:lobe|zone|lung))|{_AGO}\b)"
    rf"|(?<!not )(?:seen|noted|described|reported) (?!today){_AGO}\b"
    rf"|(?:as |when |in )?(?:compared|comparison) (?:to|with) (?:the )?(?:{_FILM}\b(?: {_MADE})?|{_AGO}\b|{_DATE}"
    rf"|{_LONG} (?:ago|earlier|previously|before|prior)|that {_MADE})"
    rf"|{_EARLIER_THAN} {_LENGTH}|{_LENGTH} (?:previously|before|on (?:the )?{_BEFORE}(?: {_FILM})?)\b"
    r"|\d+(?:\.\d+)?(?: to \d+(?:\.\d+)?)? ?(?:mls?|cc|cl|millilit(?:re|er)s?|lit(?:re|er)s?|%|percent|per cent)(?!\w)"
)
"""Dates, lengths of time, comparisons with an earlier radiograph, and volumes."""

_LANDMARK = (
    "(?:(?:heart|cardiac|mediastinal|cardiomediastinal|atrial) (?:border|contour|silhouette|margin|outline|shadow)s?"
    "|hemi ?diaphragms?|diaphragms?|(?:costo|cardio)phrenic (?:angle|sulcus|recess)(?:es|s)?|cp angles?"
    "|(?:aortic (?:knuckle|arch|knob|contour)|(?:descending )?(?:thoracic )?aorta)|hil(?:um|a)|lung (?:base|apex)"
    "|(?:para)?(?:tracheal|spinal) (?:stripe|line)s?)"
)
_POINT = (
    "(?:right|left|both|bilateral|medial|lateral|posterior|anterior|outer|inner|part|parts|portion|aspect|of|the|half"
    "|or|and)"
)
_IS = "(?:(?:is|are|was|were|has been|have been|appears?|remains?|now|again) )*(?:[a-z]+ly )*"
_LOST = (
    "(?:obscured|effaced|silhouetted|silhouetted out|lost|indistinct|ill defined|obliterated|blunted|hidden|masked"
    "|blurred|not (?:clearly |well |)(?:seen|visible|visualised|visualized|defined)"
    "|poorly (?:seen|defined|visualised|visualized)|invisible)"
)
_HIDING = (
    "(?:obscuration|effacement|silhouetting|loss|obliteration|blurring|indistinctness|masking|blunting|poor definition)"
)
_BY = "(?:by|due to|owing to|because of|secondary to|from|as a result of|caused by|on account of)"
_OVER = (
    "(?:(?:projected|projecting|projects?|superimposed|lying|lies|seen|visible) )?"
    "(?:over|overlying|behind|at the level of|near|adjacent to|above|below|beneath|under|deep to|between)"
)
_RANK = (
    r"(?:\d+(?:st|nd|rd|th)?|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|end|ends|tip|head|to"
    "|thoracic)"
)
_BONE = (
    "ribs?|clavicles?|scapulae?|(?:intercostal|rib) spaces?|interspaces?|costochondral junctions?|spine|vertebra[el]?"
)
_PART = (
    r"(?:(?:the|right|left|both) )*(?:(?:upper|lower|mid|middle|apical|basal|central|peripheral|perihilar|lung) )*"
    r"(?:zones?|lobes?|bases?|apex|apices|upper|lower|apical|basal|central|peripheral|perihilar|peripherally|centrally)\b"
)
HIDDEN = re.compile(
    rf"(?!(?:the|of|and|or) )(?:{_POINT} ){{0,6}}{_LANDMARK} {_IS}{_LOST} {_BY}\b"
    rf"|(?:(?:partial|complete|subtle|mild) )?{_HIDING} of (?:{_POINT} ){{0,6}}{_LANDMARK} {_BY}\b"
    rf"|(?!(?:the|of|and|or) )(?:{_POINT} ){{0,6}}(?!cp |costo){_LANDMARK} {_IS}{_LOST}(?=[.;,\n]|$)"
    rf"|{_PART} (?:>|(?:worse|more|greater|more so|denser|less) than) (?:the )?{_PART}"
    r"|in (?:this|a|an|our) (?:[a-z]+ ){0,2}patient\b(?! with)"
    rf"|wall thickness (?:of |up to |measuring )?{_LENGTH}"
    rf"|(?:in|at) (?:{_RANK} |{_POINT} ){{0,8}}(?:(?:intercostal|rib) spaces?|interspaces?)\b"
    rf"|{_OVER} (?:{_RANK} |{_POINT} ){{0,8}}(?:{_BONE})\b"
)
"""A landmark that a finding hides or lies over, as in "right heart border is obscured by"; it tells only the side."""

_SAYS_NOTHING = frozenset(
    {"UNKNOWN", "TOLD", "FILLER", "IN", "TO", "ADVICE", "ASIDE", "NUMBER", "UNIT", "COUNT", "TIMES"}
)
_POSITION = frozenset({"SIDE", "SPOT", "LEVEL", "NOUN"})
_SPLITS = frozenset({"COMMA", "AND", "OR", "WITH"})
_PERSON = re.compile(
    r"(?:old|patient|man|woman|male|female|child|infant|neonate|baby|boy|girl|lady|gentleman|smoker|asthmatic)$"
)
_ILLNESS = "illness"
_REMARK, _FILM = "remark", "film"
"""The meanings of words of the vocabulary that tell of the patient and of the film."""
_ALIKE = 0.8
"""The likeness to a word of a finding from which an unknown word may be that word, misspelt."""


def hidden_side(text: str) -> str:
    """Returns the side of a hidden landmark as ``side=right``, or an empty text."""
    sides = [side for side in ("right", "left") if re.search(rf"\b{side}\b", text)]
    return f"side={sides[0]}" if len(sides) == 1 else ""


def told_remarks(words: list[Word], text: str) -> list[Word]:
    """Returns the words with each remark as one unused word.

    A remark is a clause with a word that tells of the patient, the film or what to do, and with no finding, size,
    negation or doubt. It may hold unknown words, unless one is like a word of a finding, and places where all of its
    words are known, as in "right sided chest pain".

    Args:
        words: the words of a text, those that are not known with the kind ``UNKNOWN``.
        text: the plain text that the words' positions count in.
    """
    said: list[Word] = []
    for sentence in _runs(words, frozenset({"STOP"})):
        clauses = list(_runs(sentence, _SPLITS))
        whole = [clause if _is_joint(clause) else _remark(clause, text) for clause in clauses]
        if any(word.kind == "UNKNOWN" for clause in whole for word in clause):
            whole = [_remark(sentence, text, _SAYS_NOTHING | _SPLITS)]
        _tell_illness(whole)
        said += [word for clause in whole for word in clause]
    return said


def _tell_illness(clauses: list[list[Word]]) -> None:
    """Marks the illness of a patient as unused: "65 year old man with heart failure"."""
    for before, joint, clause in zip(clauses, clauses[1:], clauses[2:], strict=False):
        person = before[-1].meaning == _ILLNESS or _PERSON.search(before[-1].text)
        told = person and before[-1].kind == "TOLD"
        ill = all(word.kind in ("CAUSE", "TOLD", "FILLER") or word.meaning == "emphysema" for word in clause)
        if told and ill and (joint[0].kind == "WITH" or (joint[0].kind in _SPLITS and before[-1].meaning == _ILLNESS)):
            clause[:] = [
                replace(word, kind="TOLD", meaning=_ILLNESS) if word.kind != "FILLER" else word for word in clause
            ]


def _runs(words: list[Word], ends: frozenset[str]) -> Iterator[list[Word]]:
    """Gives the words between words of some kinds, and these words by themselves."""
    run: list[Word] = []
    for word in words:
        if word.kind in ends:
            yield from ([run] if run else [])
            yield [word]
            run = []
        else:
            run.append(word)
    yield from ([run] if run else [])


def _is_joint(clause: list[Word]) -> bool:
    return len(clause) == 1 and clause[0].kind in _SPLITS


def _remark(clause: list[Word], text: str, allowed: frozenset[str] = _SAYS_NOTHING) -> list[Word]:
    """Returns a clause as one unused word if it is a remark with unknown words or with a place; else as it is."""
    kinds = {word.kind for word in clause}
    unknown = [word for word in clause if word.kind == "UNKNOWN"]
    meanings = {word.meaning for word in clause if word.kind == "TOLD"}
    marked = "ADVICE" in kinds or meanings & {_REMARK, _FILM}
    places = frozenset({"SIDE"}) if unknown else _POSITION
    if not unknown and not kinds & _POSITION and clause[-1].text != "patient":
        return clause
    if not marked or kinds - allowed - (places if _REMARK in meanings else frozenset()):
        return clause
    if any(may_be_finding(word.text) for word in unknown):
        return clause
    first = next(at for at, word in enumerate(clause) if word.kind != "FILLER" and word.text not in ("and", "with"))
    start, end = clause[first].start, clause[-1].end
    return [Word("TOLD", _REMARK, text[start:end], start, end)]


def _kind(word: str) -> str:
    return terms()[word].kind if word in terms() else ""


@cache
def may_be_finding(word: str) -> bool:
    """Whether an unknown word is nearly a word of a finding, a place, a number, a negation or a doubt."""
    return not word.isalpha() or bool(difflib.get_close_matches(word, _telling(), n=1, cutoff=_ALIKE))


@cache
def _telling() -> tuple[str, ...]:
    quiet = {"MEANS", "TOLD", "FILLER", "ADVICE", "ASIDE", "IN", "AND", "WITH", "TO", "TIMES"}
    every = {part for words, term in terms().items() if term.kind not in quiet for part in words.split(" ")}
    known = {part for part in every for word in (part, part.removesuffix("s")) if _kind(word) in quiet}
    return tuple(sorted(part for part in every - known if len(part) > 3))
