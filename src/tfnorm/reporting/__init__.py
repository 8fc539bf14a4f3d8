"""Reports: one page, with nothing outside it, that says what was fitted, checked, compared and advised, and shows it.

The one law: the same values give the same page, byte for byte.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfnorm.errors import ChoiceError


@dataclass(frozen=True)
class Report:
    """A page, in the hand of the user: saved, or shown by a notebook."""

    html: str
    title: str

    def save(self, path: Any) -> None:
        """Write it; an old file stays whole until the new one is."""
        from tfnorm.writing import write_atomically

        write_atomically(path, self.html.encode("utf-8", "replace"))

    def __repr__(self) -> str:
        return f'{self.title}: a page of {len(self.html):,} characters; report.save("report.html")'

    def _repr_html_(self) -> str:
        inside = html.escape(self.html)
        return f'<iframe srcdoc="{inside}" sandbox="allow-scripts" style="width:100%;height:40em;border:0"></iframe>'


def report(value: Any, path: Any = None, *, names: Sequence[str] = ()) -> Report:
    """A page about a fit or a profile, two of them, a check, a comparison or an advice; or about several of these together.

    One self-contained HTML file that needs no network: what was read; the columns at risk first; for each its distribution before
    and after with quartiles and outliers, its numbers, what is done with it and why; loss curves where techniques were compared;
    drift where new data were checked. Search, sort, filter, keyboard, light and dark, print.

    value: what is reported; a list of them for one page: `[fitted, drift, comparison, advice]`. Two fits, or two profiles, are
        shown side by side with what differs.
    path: where it is saved, too.
    names: what two fits are called.

    A fit that gathers only what its technique needs has no distributions to draw; `tfnorm.fit(data, choice, full=True)` has.

    >>> import tfnorm
    >>> fitted = tfnorm.fit(tfnorm.scan({"age": [22.0, 38.0, 26.0]}), "minmax")
    >>> page = report(fitted)
    >>> page.title, "</html>" in page.html
    ('Fit of 1 column', True)
    """
    from tfnorm.reporting.building import page_of
    from tfnorm.reporting.rendering import html_of

    if path is not None and not isinstance(path, str | os.PathLike):
        raise ChoiceError(
            f"path: expected where the page is saved, got {type(path).__name__}. Several values go in one list: "
            "report([fitted, drift])."
        )
    page = page_of(list(value) if isinstance(value, list | tuple) else [value], names)
    made = Report(html_of(page), page.title)
    if path is not None:
        made.save(path)
    return made
