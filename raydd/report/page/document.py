"""A report as one HTML document: sections, contents, figures and all that draws them, with nothing from outside."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass, field
from string import Template

from raydd.report.page.markup import Markup, join, script_json, tag, text


@dataclass(frozen=True)
class Section:
    """A part of a document with a heading.

    Attributes:
        key: its id.
        title: its heading.
        content: what is below it.
    """

    key: str
    title: str
    content: Markup


@dataclass
class Document:
    """A page that is being put together.

    Attributes:
        title, subtitle: of the page.
        footer: its last line.
        sections: in order.
        trials: what is told of a trial under the mouse, by number.
    """

    title: str
    subtitle: str
    footer: str
    sections: list[Section] = field(default_factory=list)
    trials: dict[int, str] = field(default_factory=dict)

    def add(self, key: str, title: str, content: Markup | None) -> None:
        """A section, unless there is nothing in it."""
        if content:
            self.sections.append(Section(key, title, content))

    def html(self) -> str:
        """The document."""
        contents = [tag("li", tag("a", one.title, href=f"#{one.key}")) for one in self.sections]
        return Template(asset("page.html")).substitute(
            title=text(self.title),
            generator="raydd",
            style=asset("page.css"),
            header=join([tag("h1", self.title), tag("p", self.subtitle, class_="subtitle")]),
            contents=tag("ol", *contents),
            sections=join(
                tag(
                    "section",
                    tag("h2", one.title, id=f"{one.key}-title"),
                    one.content,
                    id=one.key,
                    aria_labelledby=f"{one.key}-title",
                )
                for one in self.sections
            ),
            footer=tag("p", self.footer),
            trials=script_json(self.trials),
            plotly=plotly(),
            script=asset("page.js"),
        )


def asset(name: str) -> str:
    """A file that is shipped with this room."""
    return importlib.resources.files("raydd.report.page").joinpath("assets", name).read_text(encoding="utf-8")


def plotly() -> str:
    """plotly.js, all of it, as it stands in the installed package; it cannot end the element that it is put into."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")
