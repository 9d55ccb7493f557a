"""Views and body parts that a DICOM header names, in codes and in free text of several languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pydicom import Dataset
from pydicom.multival import MultiValue

from artasyn.errors import RadiographError
from artasyn.pixels.attributes import text, value_of

DESCRIPTIONS = (
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "PerformedProcedureStepDescription",
    "RequestedProcedureDescription",
    "StudyDescription",
)
"""Attributes of free text that may name a view or a body part, from what describes the image to what the study."""

LATERAL = frozenset(
    """LAT LATERAL LATERALE LATERALES LATERALIS LATERAAL LATERO LLAT RLAT LATL LATR LL RL LLO RLO LATEROLATERAL
    SEITLICH SEITL SEITLICHE SEITLICHES PROFIL PROFILO PERFIL SIDEBILDE SIDEBILLEDE SIDOBILD ZIJDELINGS DWARS
    BOCZNE BOCZNA BOCZNY BOCNI BOCNY SIVUKUVA БОКОВАЯ БОКОВОИ БОКОВАЯ 側面 侧位 側位 측면""".split()
)
FRONTAL = frozenset(
    """PA AP APS PAS FRONTAL FRONTALE FRONT FACE FAS FRENTE FRONTALES POSTEROANTERIOR ANTEROPOSTERIOR POSTERO ANTERO
    POSTERIOANTERIOR ANTERIOPOSTERIOR PREDOZADNI TYLNOPRZEDNIE DV VD ПРЯМАЯ 正面 正位 정면""".split()
)
BOTH = frozenset("VIEWS VUES VISTAS EBENEN EB PROIEZIONI INCIDENCES INCIDENCIAS PROYECCIONES PROJECTIONS".split())
"""Words of several views; they say nothing of the one at hand."""
NOT = frozenset("NO NOT NON WITHOUT WO EXCEPT OHNE KEINE KEIN SANS SIN SENZA SEM ZONDER UTAN".split())

CHEST = re.compile(
    r"CHEST|THORA|TORAX|TORAC|TORAK|LUNG|PULMO|POUMON|POLMON|PULMAO|BRUST|RIBS?\b|RIPPEN|CXR|HERZ|HEART|BORST|KLATK|"
    r"HRUDN|STERNUM|MEDIASTIN|TRUNK|BODY|BABYGRAM|COMBO|PACEMAKER|ГРУД|ЛЕГК|胸|肺|흉부"
)
"""Words of the chest, or of a film that may show it."""
OTHER = frozenset(
    """HAND HANDS HAENDE MANO MANOS WRIST WRISTS HANDGELENK POIGNET MUNECA POLSO FINGER FINGERS THUMB DAUMEN ELBOW
    ELLENBOGEN COUDE CODO GOMITO FOREARM UNTERARM HUMERUS HUMERO OBERARM SHOULDER SHOULDERS SCHULTER EPAULE HOMBRO
    SPALLA OMBRO KNEE KNEES KNIE GENOU RODILLA GINOCCHIO JOELHO FEMUR OBERSCHENKEL TIBIA FIBULA UNTERSCHENKEL ANKLE
    ANKLES SPRUNGGELENK CHEVILLE TOBILLO CAVIGLIA FOOT FEET FUSS PIED TOE TOES ZEHE ZEHEN CALCANEUS HEEL PATELLA HIP
    HIPS HUEFTE HUFTE HANCHE CADERA ANCA PELVIS PELVIC BECKEN BASSIN BACINO ABDOMEN ABDOMENS ABDOMINAL BAUCH KUB SKULL
    SCHAEDEL SCHADEL CRANE CRANIUM CRANEO CRANIO SINUS SINUSES NASAL MANDIBLE JAW TEETH DENTAL ORBIT ORBITS CSPINE
    LSPINE LUMBAR LENDENWIRBELSAULE LWS HWS CERVICAL SACRUM COCCYX BREAST BREASTS MAMMO MAMMOGRAPHY MAMMA RODILLAS
    手 膝""".split()
)
"""Words of other body parts in free text."""
PARTS = OTHER | frozenset(
    """HEAD NECK ARM ARMS LEG LEGS EXTREMITY LOWEREXTREMITY UPPEREXTREMITY LOWERLIMB UPPERLIMB LOWERLEG UPPERARM
    UPPERLEG THIGH CLAVICLE SCAPULA SSPINE SIJOINT SIJOINTS ACJOINT HINDFOOT FOREFOOT KNEECAP MAXILLA FACIALBONES
    NOSE EYE EAR TMJ ZYGOMA UTERUS BLADDER KIDNEY""".split()
)
"""Words of other body parts in attributes that hold nothing else."""


def check_view(film: Dataset) -> None:
    """Refuses a lateral view and another body part.

    The attributes are read from the one that describes the image to those that describe the study; the first that names
    a view decides. Text that names both views, says "bilateral" or "lateral decubitus", or denies a lateral refuses
    nothing. Another body part is refused only if no attribute names the chest.

    Args:
        film: the data set.

    Raises:
        RadiographError: the message states the attribute, and continues a sentence that begins with the file's name.

    Source: DICOM PS3.3 C.8.11.5 (DX positioning), C.7.6.1.1.1 (patient orientation), annex L (body parts).
    """
    _check_part(film)
    for name, said in (*_positions(film), *((name, text(film, name)) for name in DESCRIPTIONS)):
        views = view_of(said, abbreviated=name == "ViewPosition")
        if views == {"lateral"}:
            raise RadiographError(f"is a lateral view ({name} {said}); only frontal films (PA, AP) can be used")
        if views:
            return
        if name == "ViewCodeSequence" and not film.get("ViewPosition") and {"A", "P"} & set(directions(film)):
            found = "\\".join(film.PatientOrientation)
            raise RadiographError(
                f"is a lateral view (PatientOrientation {found}); only frontal films (PA, AP) can be used"
            )


def view_of(said: str, *, abbreviated: bool = False) -> set[str]:
    """Returns the views that a text names: "frontal", "lateral", both, or none.

    Args:
        said: free text of a header.
        abbreviated: every word that begins with LAT, LLAT or RLAT is a lateral, as in ViewPosition.

    Example:
        >>> view_of("Thorax seitlich"), view_of("Chest bilateral"), sorted(view_of("PA and lateral"))
        ({'lateral'}, set(), ['frontal', 'lateral'])
    """
    words = words_of(said)
    if any("DECUB" in word for word in words):
        return set()
    views = set()
    if FRONTAL & set(words) or re.search(r"\b(P A|A P)\b", " ".join(words)):
        views.add("frontal")
    if BOTH & set(words):
        views |= {"frontal", "lateral"}
    for at, word in enumerate(words):
        if word in LATERAL and not NOT & set(words[max(0, at - 2) : at]):
            views.add("lateral")
        elif re.fullmatch(r"(AP|PA)(LL?|LAT|LATERAL)|LAT(AP|PA)", word):
            views |= {"frontal", "lateral"}
        elif abbreviated and re.fullmatch(r"[LR]?LAT.*", word):
            views.add("lateral")
    return views


def words_of(said: str) -> list[str]:
    """Returns the words of a text in upper case, without accents; digits and marks separate words.

    Args:
        said: free text of a header.
    """
    plain = "".join(each for each in unicodedata.normalize("NFKD", said.upper().replace("W/O", "WITHOUT")) if not unicodedata.combining(each))
    return re.findall(r"[^\W\d_]+", re.sub(r"(CHEST|THORAX|TORAX)", r" \1 ", plain))


def directions(film: Dataset) -> tuple[str, ...]:
    """Returns the directions of rows and columns by main letter (L, R, A, P, H, F), or () if not known.

    Args:
        film: the data set.
    """
    orientation = value_of(film, "PatientOrientation")
    if isinstance(orientation, MultiValue) and len(orientation) == 2:
        return tuple(str(direction)[:1].upper() for direction in orientation)
    return ()


def _positions(film: Dataset) -> Iterator[tuple[str, str]]:
    """Yields the attributes that hold nothing but the view."""
    yield "ViewPosition", text(film, "ViewPosition")
    codes = value_of(film, "ViewCodeSequence") or ()
    yield "ViewCodeSequence", "; ".join(text(code, "CodeMeaning") for code in codes)


def _check_part(film: Dataset) -> None:
    """Refuses another body part, if no attribute names the chest."""
    regions = value_of(film, "AnatomicRegionSequence") or ()
    parts = [("BodyPartExamined", text(film, "BodyPartExamined"))]
    parts += [("AnatomicRegionSequence", text(region, "CodeMeaning")) for region in regions]
    described = [(name, text(film, name)) for name in DESCRIPTIONS]
    if any(CHEST.search(" ".join(words_of(said))) for _, said in (*parts, *described)):
        return
    for known, named in ((PARTS, parts), (OTHER, described)):
        for name, said in named:
            words = words_of(said)
            if known & {*words, "".join(words)}:
                raise RadiographError(
                    f"is a film of another body part ({name} {said}); only frontal films of the chest can be used"
                )
