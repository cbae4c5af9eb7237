"""The left side of the panel: one collapsible box a clause, in it its criteria and their settings.

Plain buttons open and close, because the accordion of ipywidgets cannot be reached by keyboard. The inside of a
clause is made when it is first opened.
"""

from __future__ import annotations

import math

from feasibility.errors import FeasibilityError
from feasibility.figures.style import title_case
from feasibility.widgets import html

LABEL = {"description_width": "150px"}


class ClauseBox:
    """A clause: the button that opens it, and what is inside."""

    def __init__(self, panel, clause: str):
        w = panel.widgets
        self.panel, self.clause = panel, clause
        self.criteria: list[CriterionBox] = []
        self.button = w.ToggleButton(layout=w.Layout(width="auto"))
        self.button.add_class("fz-clause")
        self.button.observe(lambda change: self._open(change["new"]), "value")
        self.inside = w.VBox(layout=w.Layout(display="none"))
        self.inside.add_class("fz-body")
        self.box = w.VBox([self.button, self.inside], layout=w.Layout(flex="0 0 auto"))

    def _open(self, opened: bool) -> None:
        if opened and not self.criteria:
            shown: dict[str, str] = {}
            self.criteria = [CriterionBox(self.panel, one, shown) for one in self.panel.state.clauses[self.clause]]
            self.inside.children = [one.box for one in self.criteria]
        self.inside.layout.display = "flex" if opened else "none"
        self.refresh()

    def refresh(self) -> None:
        title = html.clause_title(self.panel.state, self.clause, self.button.value)
        self.button.description = title
        _mark(self.button, "fz-changed", "●" in title)
        if self.button.value:
            for one in self.criteria:
                one.refresh()


class CriterionBox:
    """A criterion: its switch, its words, and its thresholds and readings."""

    def __init__(self, panel, criterion, shown: dict[str, str]):
        w, state = panel.widgets, panel.state
        self.panel, self.criterion = panel, criterion
        self.switch = w.Checkbox(value=True, indent=False, description=f"{criterion.id}  {title_case(criterion.name)}")
        self.switch.observe(lambda change: panel.do(lambda: state.switch(criterion.id, change["new"])), "value")
        self.words = w.HTML()
        self.rows, also = [], []
        for setting in criterion.settings:
            if setting.name in shown:
                also.append(f"{state.control(setting.name).label} (above, at {shown[setting.name]})")
                continue
            shown[setting.name] = criterion.id
            row = ChoiceRow if setting.is_reading else NumberRow
            self.rows.append(row(panel, state.control(setting.name)))
        notes = [f"Uses as well: {', '.join(also)}."] if also else []
        if any(row.control.is_ours for row in self.rows):
            notes.append("* Our number: the text states none.")
        below = [w.HTML("".join(f'<p class="fz-also">{one}</p>' for one in notes))] if notes else []
        self.box = w.VBox([self.switch, self.words, *(row.box for row in self.rows), *below])
        self.box.add_class("fz-criterion")

    def refresh(self) -> None:
        on = self.panel.state.is_on(self.criterion.id)
        self.switch.value = on
        self.words.value = html.criterion(self.panel.state, self.criterion)
        _mark(self.box, "fz-switched-off", not on)
        for row in self.rows:
            row.refresh()


class _Row:
    """What a threshold and a reading share: a mark when changed, and a button that takes the change back."""

    def __init__(self, panel, control):
        w = panel.widgets
        self.panel, self.control, self.state = panel, control, panel.state
        self.quiet = False
        self.back = w.Button(
            description=self.back_text(), layout=w.Layout(width="64px", visibility="hidden"),
            tooltip=f"{control.label}: back to the protocol's {control.words(control.value)}",
        )  # fmt: skip
        self.back.on_click(lambda _: self.send(control.value))
        self.box = w.HBox([*self.parts(), self.back])
        self.box.add_class("fz-setting")

    def back_text(self) -> str:
        return f"↺ {self.control.words(self.control.value)}"

    def send(self, value) -> None:
        self.panel.do(lambda: self.state.set(self.control.name, value))

    def moved(self, change) -> None:
        if not self.quiet:
            self.send(change["new"])

    def refresh(self) -> None:
        changed = self.control.name in self.state.values
        on = any(self.state.is_on(one) for one in self.control.criteria)
        _mark(self.box, "fz-changed", changed)
        self.back.layout.visibility = "visible" if changed and on else "hidden"
        self.quiet = True
        try:
            self.show(self.state.value(self.control.name), not on)
        finally:
            self.quiet = False

    def label(self) -> str:
        """The name with its unit, where the name does not say it already."""
        label, unit = self.control.label, self.control.unit
        text = label if not unit or unit in label.split() else f"{label}, {unit}"
        return f"{text} *" if self.control.is_ours else text


class NumberRow(_Row):
    """A threshold or look-back: a labelled number field for any value, and a slider over the sensible ones."""

    def parts(self):
        w, c = self.panel.widgets, self.control
        self.endless = not math.isfinite(c.value)
        field = w.Text if self.endless else w.FloatText
        step = {} if self.endless else {"step": c.step}
        self.field = field(
            description=self.label(), style=LABEL, layout=w.Layout(width="234px", flex="none"), continuous_update=False,
            **step,
        )  # fmt: skip
        self.slider = w.FloatSlider(
            min=c.low, max=c.high, step=c.step, readout=False, layout=w.Layout(width="auto", flex="1 1 90px")
        )
        self.show(c.value, False)
        self.field.observe(lambda change: self.quiet or self._typed(change["new"]), "value")
        self.slider.observe(self.moved, "value")
        return self.field, self.slider

    def _typed(self, value) -> None:
        if self.endless:
            text = str(value).strip().lower()
            try:
                value = math.inf if text in ("no limit", "inf", "") else float(text)
            except ValueError:
                self.panel.do(lambda: _refuse(f"{self.control.label} needs a number or 'no limit', got {value!r}."))
                return
        self.send(value)

    def show(self, value, disabled: bool) -> None:
        self.field.value = self.control.words(value).replace(",", "") if self.endless else value
        near = min(max(value, self.slider.min), self.slider.max)
        if abs(self.slider.value - near) > 1e-9 * max(1.0, abs(near)):
            self.slider.value = near
        self.field.disabled = self.slider.disabled = disabled


class ChoiceRow(_Row):
    """A reading: a menu of its choices, the protocol's marked."""

    def back_text(self) -> str:
        return "↺ back"

    def parts(self):
        w, c = self.panel.widgets, self.control
        options = [(c.words(x) + (" (protocol)" if x == c.value else ""), x) for x in c.setting.choices]
        self.menu = w.Dropdown(
            options=options, value=c.value, description=self.label(), style=LABEL,
            layout=w.Layout(width="auto", flex="1 1 300px"),
        )  # fmt: skip
        self.menu.observe(self.moved, "value")
        return (self.menu,)

    def show(self, value, disabled: bool) -> None:
        self.menu.value, self.menu.disabled = value, disabled


def _refuse(text: str):
    raise FeasibilityError(text)


def _mark(widget, name: str, on: bool) -> None:
    if on != (name in widget._dom_classes):
        (widget.add_class if on else widget.remove_class)(name)
