"""The comparison of the rule with the widest extent: vessels on ellipses, limits of agreement, hearts in a volume."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.segment.ct.volume import Structure, Volume
from benchmarks.anatomy_tables import cardiothoracic
from benchmarks.score_cardiothoracic import HALVES, HEIGHTS_MM, agreement, both, ratios, with_vessel, without_vessels
from tests.segment.measures.shapes import thorax


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("height", HEIGHTS_MM)
def test_a_vessel_widens_the_extent_and_not_the_ratio(side: int, height: float) -> None:
    heart, lungs = thorax()
    plain = ratios(heart, lungs)
    assert plain == pytest.approx((120 / 260, 120 / 260), abs=0.005)
    widest, rule = ratios(with_vessel(heart, lungs, side, height), lungs)
    assert widest == pytest.approx(plain[0] + 12 / 280, abs=0.004)
    assert rule == pytest.approx(plain[1], abs=0.004)


def test_the_widest_extent_is_across_the_body() -> None:
    turned = thorax(12.0)
    assert ratios(*turned, 12.0)[0] == pytest.approx(120 / 260, abs=0.01)
    assert np.isnan(ratios(*thorax()[::-1])).all()  # no heart reaches beyond the lungs


def test_limits_of_agreement() -> None:
    found = agreement([0.5, 0.6, np.nan, 0.4], [0.4, 0.6, 0.3, 0.5])
    assert found == {
        "hearts": 3,
        "mean": 0.0,
        "low": -0.196,
        "high": 0.196,
        "mean_absolute": pytest.approx(0.0667),
        "largest": 0.1,
    }


def test_a_ball_removes_vessels_in_three_dimensions() -> None:
    heart = np.zeros((60, 60, 90), bool)
    heart[10:50, 10:50, 10:50] = heart[28:32, 28:32, 50:80] = True
    volume = Volume(np.zeros(heart.shape, np.int16), np.eye(4)[[2, 1, 0, 3]], {"heart": Structure.of(heart)})
    opened = without_vessels(volume).structures["opened"]
    assert opened.start[2] == 10
    assert opened.box[2].stop < 53


def test_every_row_of_the_second_half_is_in_the_table() -> None:
    of = both([(0.5, 0.5), (0.6, 0.5)], [0.5, 0.5])
    half = {"readers": {"JSRT": {"readers' hearts": of}}, "projections": {"phantoms": of}, "network": {"JSRT": of}}
    ct = {"pa": {"widest": 0.519, "rule": 0.441, "without_vessels": 0.44}}
    rows = cardiothoracic({**dict.fromkeys(HALVES, half), "ct": ct})[2:]
    assert rows[0].startswith(
        "| JSRT, readers' hearts | 2 | +0.050 (-0.089 to +0.189) | +0.000 (+0.000 to +0.000) | 2 |"
    )
    assert [row.split("|")[1].strip() for row in rows[1:3]] == [
        "projections of phantoms",
        "the network's hearts on JSRT",
    ]
    assert "| 0.519 | 0.441 |" in rows[3]
