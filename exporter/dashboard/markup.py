"""Elements of a page, escaped by construction: whatever is no `Markup` is text, and shown as it is."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from jobs.pages.texts import visible

_ELEMENT = Markup("<{0}{1}>{2}</{0}>")
_ATTRIBUTE = Markup(' {}="{}"')
_EMPTY = Markup("")


def element(name: str, *content: object, **attributes: object) -> Markup:
    """An element with these texts and elements in it. An attribute `class_` is `class`, one that is None is left out.

    (An underscore within is a hyphen: `aria_label`.) Of a text, what cannot be seen is written as an escape.
    """
    given = [
        _ATTRIBUTE.format(key.rstrip("_").replace("_", "-"), text(value))
        for key, value in attributes.items()
        if value is not None
    ]
    return _ELEMENT.format(name, _EMPTY.join(given), together(content))


def together(content: Iterable[object]) -> Markup:
    """Texts and elements one after another."""
    return _EMPTY.join(part if isinstance(part, Markup) else text(part) for part in content)


def text(value: object) -> str:
    """A value as a text that can be seen, which is not escaped yet."""
    return visible(str(value))


def table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Markup:
    """A table whose rows begin with what they are about; it can be scrolled where the window is narrow."""
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))
        for first, *cells in rows
    ]
    whole = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", whole, class_="wide", role="region", aria_label=caption, tabindex=0)
