"""The table of codes: findings, structures and measures in SNOMED CT, DICOM and RadLex, and findings in data sets.

`codes.csv` holds one row for each name of this library. A cell is empty where no code is known for certain, or where a
data set has no such label. The columns ``chexpert``, ``nih`` and ``vindr`` hold the narrowest label of CheXpert, NIH
ChestX-ray14 and VinDr-CXR that includes the finding; ``|`` separates several.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast, get_args

from artasyn.errors import DataError
from artasyn.findings import finding_name

TABLE = Path(__file__).with_name("codes.csv")

Kind = Literal["finding", "structure", "measure"]
"""What a row of the table names."""

Side = Literal["", "right", "left", "both"]
"""The patient's side, where the code of a structure does not name one itself."""

Vocabulary = Literal["chexpert", "nih", "vindr"]
"""A data set whose labels the table holds."""

PRIVATE = "99ARTASYN"
"""The scheme of the codes that only this library defines: the names of rows without a code of SNOMED CT or DICOM."""


@dataclass(frozen=True)
class Code:
    """A code as DICOM writes it.

    Attributes:
        value: the code.
        scheme: ``SCT`` for SNOMED CT, ``DCM`` for DICOM, or `PRIVATE`.
        meaning: the meaning for people.
    """

    value: str
    scheme: str
    meaning: str


SIDES = {
    "right": Code("24028007", "SCT", "Right"),
    "left": Code("7771000", "SCT", "Left"),
    "both": Code("51440002", "SCT", "Bilateral"),
}
"""The code of each side."""


@dataclass(frozen=True)
class Coded:
    """A row of the table.

    Attributes:
        kind: what the row names.
        name: in the spelling of this library.
        meaning: of the code of SNOMED CT or DICOM; empty without one.
        side: the side that stands beside the code.
        snomed: the code of SNOMED CT.
        dicom: the code of DICOM PS3.16, for rows without a code of SNOMED CT.
        radlex: the code of RadLex.
        labels: the labels of a finding in each data set.
    """

    kind: Kind
    name: str
    meaning: str = ""
    side: Side = ""
    snomed: str = ""
    dicom: str = ""
    radlex: str = ""
    labels: tuple[tuple[Vocabulary, tuple[str, ...]], ...] = ()

    @property
    def code(self) -> Code:
        """The code of SNOMED CT, else that of DICOM, else a private one with the name as its value."""
        if self.snomed or self.dicom:
            return Code(self.snomed or self.dicom, "SCT" if self.snomed else "DCM", self.meaning)
        return Code(self.name, PRIVATE, self.name.replace("_", " ").capitalize())

    @property
    def spellings(self) -> tuple[str, ...]:
        """The labels and codes of a finding, in all data sets and schemes."""
        return (*(label for _, labels in self.labels for label in labels), *self.codes.values())

    @property
    def codes(self) -> dict[str, str]:
        """The codes that the row has, by their schemes, as COCO categories hold them."""
        return {scheme: code for scheme in ("radlex", "snomed", "dicom") if (code := getattr(self, scheme))}

    def labels_of(self, vocabulary: Vocabulary) -> tuple[str, ...]:
        """Returns the labels of a finding in a data set; none where the data set has no such label."""
        return dict(self.labels).get(vocabulary, ())


def coded(kind: Kind, name: str) -> Coded:
    """Returns the row of a name; a row without codes if the table has none.

    Args:
        kind: what the name means.
        name: in the spelling of this library.

    Example:
        >>> coded("structure", "drawn_heart").code
        Code(value='80891009', scheme='SCT', meaning='Heart')
        >>> coded("structure", "rib_left_3").side, coded("structure", "a_new_structure").code.scheme
        ('left', '99ARTASYN')
    """
    return rows().get((kind, name), Coded(kind, name))


def findings_of(spelling: str) -> tuple[Coded, ...]:
    """Returns the findings that a name, a label of a data set or a code stands for.

    A name of this library stands for itself alone. A label may stand for several findings.

    Args:
        spelling: a name of this library, a label of CheXpert, NIH ChestX-ray14 or VinDr-CXR, or a code of RadLex,
            SNOMED CT or DICOM; case, spaces, ``_`` and ``-`` make no difference.

    Raises:
        DataError: no row has it. The message lists the names.

    Example:
        >>> [found.name for found in findings_of("Effusion")], [found.name for found in findings_of("RID5352")]
        (['pleural_effusion'], ['pneumothorax'])
    """
    wanted = finding_name(spelling)
    findings = [row for row in rows().values() if row.kind == "finding"]
    named = [row for row in findings if row.name == wanted]
    found = named or [row for row in findings if wanted in {finding_name(each) for each in row.spellings}]
    if not found:
        raise DataError(
            f"no finding {spelling!r}; give a label of CheXpert, NIH ChestX-ray14 or VinDr-CXR, a code, or one of "
            f"{', '.join(row.name for row in findings)}"
        )
    return tuple(found)


def labels_of(spelling: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Returns the labels of a data set that a finding has there; a label of the data set itself stands for itself.

    Args:
        spelling: as in `findings_of`.
        vocabulary: the data set.

    Raises:
        DataError: there is no such finding, or the data set has no label for it.

    Example:
        >>> labels_of("Lung Lesion", "nih"), labels_of("mass", "vindr"), labels_of("Effusion", "chexpert")
        (('Nodule', 'Mass'), ('Nodule/Mass',), ('Pleural Effusion',))
    """
    every = dict.fromkeys(label for row in rows().values() for label in row.labels_of(vocabulary))
    own = tuple(label for label in every if finding_name(label) == finding_name(spelling))
    found = own or tuple(dict.fromkeys(label for row in findings_of(spelling) for label in row.labels_of(vocabulary)))
    if not found:
        raise DataError(f"the labels of {vocabulary} have none for {spelling!r}; there are {', '.join(every)}")
    return found


@cache
def rows() -> dict[tuple[Kind, str], Coded]:
    """Returns every row of the table by its kind and name.

    Raises:
        DataError: the table holds a kind or a side that is not known, or a name twice.
    """
    found: dict[tuple[Kind, str], Coded] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] not in get_args(Kind) or row["side"] not in get_args(Side):
                raise DataError(f"{TABLE.name}: no kind {row['kind']!r} or no side {row['side']!r}")
            kind, side = cast(Kind, row["kind"]), cast(Side, row["side"])
            if (kind, row["name"]) in found:
                raise DataError(f"{TABLE.name} has the {kind} {row['name']!r} twice; leave one")
            labels = tuple((name, tuple(row[name].split("|"))) for name in get_args(Vocabulary) if row[name])
            plain = {name: row[name] for name in ("name", "meaning", "snomed", "dicom", "radlex")}
            found[kind, row["name"]] = Coded(kind, side=side, labels=labels, **plain)
    return found
