"""The date of a report."""

from __future__ import annotations

import datetime

import pytest

from artasyn.console.detected import report_date
from artasyn.errors import DataError


def test_a_given_date_counts_before_the_environment_and_that_before_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    today = datetime.date.today()
    assert report_date("") in (today.isoformat(), (today + datetime.timedelta(1)).isoformat())  # midnight may pass
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert report_date("") == "1970-01-02"
    assert report_date("2026-01-31") == "2026-01-31"


@pytest.mark.parametrize(("given", "epoch"), [("31.1.2026", ""), ("", "soon"), ("", "9" * 30)])
def test_what_is_no_date_is_refused(given: str, epoch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(DataError, match="is no date; write a date as 2026-01-31"):
        report_date(given)
