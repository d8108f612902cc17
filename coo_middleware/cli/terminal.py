"""What is written where: results on standard output, progress and diagnostics on the other, and how a command ends."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import typer
from rich.console import Console

from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from _typeshed import DataclassInstance

# A table that nobody looks at is not folded.
_WIDE: Final = 200


@contextmanager
def ending() -> Iterator[None]:
    """Ends the command with the text of an error on standard error: code 1 where a store failed, 2 where the arguments,
    the configuration or a file cannot be used.
    """
    try:
        yield
    except StoreError as error:
        tell(str(error))
        raise typer.Exit(1) from None
    except BrokenPipeError:
        # Whoever read the result has seen enough; typer ends that quietly.
        raise
    except (ValueError, OSError) as error:
        tell(str(error))
        raise typer.Exit(2) from None


def open_console() -> Console:
    """Standard output, with colours on a terminal only, and not where NO_COLOR is set."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console


def tell(text: str) -> None:
    """A line for a person, on standard error."""
    typer.echo(text, err=True)


def write_json(document: Mapping[str, object], *, lines: bool = False) -> None:
    """One JSON document on standard output, on one line where there are to be more of them."""
    sys.stdout.write(json.dumps(document, indent=None if lines else 2) + "\n")
    sys.stdout.flush()


def show_fields(value: DataclassInstance, *, as_json: bool, to_stderr: bool = False) -> None:
    """A line for each field, or one JSON document; beside standard output where that has the result itself."""
    told = asdict(value)
    width = max(map(len, told))
    text = json.dumps(told, indent=2) if as_json else "\n".join(f"{name:<{width}}  {told[name]}" for name in told)
    typer.echo(text, err=to_stderr)


def show_amount(amount: float) -> str:
    """A number in at most five characters, such as 950, 12.3k and 4.56M."""
    for bound, unit in ((1e3, ""), (1e6, "k"), (1e9, "M"), (1e12, "G")):
        if abs(amount) < bound * 0.9995:
            return _round(amount / bound * 1e3) + unit
    return f"{amount:.0e}"


def show_money(dollars: float) -> str:
    """US dollars, to the cent or to three figures."""
    if 0 < abs(dollars) < 0.01:
        return f"${dollars:.4f}"
    return f"${dollars:.2f}" if abs(dollars) < 1000 else f"${show_amount(dollars)}"


def show_ratio(share: float | None) -> str:
    """A share in per cent, a dash where it is not known."""
    return "-" if share is None else f"{100 * share:.0f}%"


def show_seconds(seconds: float | None) -> str:
    """A duration in ms or s, a dash where it is not known."""
    if seconds is None:
        return "-"
    return f"{_round(seconds * 1000)}ms" if seconds < 0.9995 else f"{_round(seconds)}s"


def _round(amount: float) -> str:
    """Three figures, without a fraction of nothing."""
    places = 2 if abs(amount) < 9.995 else 1 if abs(amount) < 99.95 else 0
    text = f"{amount:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
