"""cli/terminal.py: figures that fit, and codes that mean one thing."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.cli.terminal import ending, open_console, show_amount, show_money, show_ratio, show_seconds
from coo_middleware.stores import StoreError


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (7, "7"),
        (950, "950"),
        (999.9, "1k"),
        (12_345, "12.3k"),
        (4_560_000, "4.56M"),
        (2e9, "2G"),
    ],
)
def test_amounts_are_short(amount: float, shown: str) -> None:
    """Three figures and a unit."""
    assert shown == show_amount(amount)


@given(st.floats(0, 1e15))
def test_an_amount_has_five_characters_at_most(amount: float) -> None:
    """Whatever it is, a column of five holds it."""
    assert len(show_amount(amount)) <= 5


@pytest.mark.parametrize(
    ("dollars", "shown"), [(0, "$0.00"), (0.00123, "$0.0012"), (0.5, "$0.50"), (12.345, "$12.35"), (12_345, "$12.3k")]
)
def test_money_is_shown_to_the_cent(dollars: float, shown: str) -> None:
    """And what is less than one as a fraction of it."""
    assert shown == show_money(dollars)


def test_what_is_unknown_is_a_dash() -> None:
    """It is neither zero nor nothing."""
    assert ["-", "0%", "42%"] == [show_ratio(None), show_ratio(0.0), show_ratio(0.42)]
    assert ["-", "0.5ms", "812ms", "1s", "1.25s"] == [*map(show_seconds, (None, 0.0005, 0.812, 0.9999, 1.25))]


@pytest.mark.parametrize(
    ("error", "code"), [(StoreError("it is away"), 1), (ValueError("it is away"), 2), (OSError("it is away"), 2)]
)
def test_an_error_is_told_on_standard_error(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """1 for a store that failed, 2 for what was asked."""
    with pytest.raises(typer.Exit) as caught, ending():
        raise error

    assert (code, ("", "it is away\n")) == (caught.value.exit_code, capsys.readouterr())


def test_a_reader_that_left_is_no_error_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """As where the result goes to `head`: typer ends that quietly."""
    with pytest.raises(BrokenPipeError), ending():
        raise BrokenPipeError

    assert ("", "") == capsys.readouterr()


def test_no_colour_where_nobody_sees_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a file, and not on a terminal where NO_COLOR is set."""
    open_console().print("plain", style="bold red")
    monkeypatch.setenv("FORCE_COLOR", "1")
    open_console().print("coloured", style="red")
    monkeypatch.setenv("NO_COLOR", "1")
    open_console().print("plain", style="red")

    assert ["plain", "\x1b[31mcoloured\x1b[0m", "plain"] == capsys.readouterr().out.splitlines()
