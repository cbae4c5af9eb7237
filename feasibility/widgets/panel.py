"""The panel itself: widgets that pass what is moved to a ``PanelState`` and show what it answers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from feasibility.analysis.what_if import WhatIf
from feasibility.errors import FeasibilityError
from feasibility.protocol.protocol import Protocol
from feasibility.widgets import html
from feasibility.widgets.state import PanelState

LABEL = {"description_width": "90px"}


def what_if_panel(
    cohort, protocol: Protocol | None = None, *, folder: str | Path | None = ".", height: int = 560, **options
) -> Panel:
    """A live panel in a notebook or a Voilà page: move a threshold, switch a criterion off, see the counts at once.

    A slider with a number field for each threshold and look-back, a menu for each reading and a switch for each
    criterion, by clause; confirmed and possible patients with the difference to the protocol, and the funnel in an
    order of your choice. ``cohort`` has one row a patient; or give a ``WhatIf`` alone. ``folder`` is where "Save as
    scenario" writes its TOML file (None: it only shows the text); ``height`` the height of the settings in pixels.
    Further options (``missing_columns``, ``screening``, ``check``) are those of ``WhatIf``.

    The panel is internal: nothing on it is checked for disclosure, and it says so. ``panel.state.protocol`` is the
    protocol as it stands on the screen.

    Raises FeasibilityError without ipywidgets (``pip install trial-feasibility[notebook]``), and as ``WhatIf`` does.
    """
    widgets = import_widgets()
    if isinstance(cohort, WhatIf):
        if protocol is not None or options:
            raise FeasibilityError("A WhatIf has its protocol and options already: give nothing but it.")
        what_if = cohort
    elif isinstance(protocol, Protocol):
        what_if = WhatIf(cohort, protocol, **options)
    else:
        raise FeasibilityError(f"A protocol is needed as second argument, got {type(protocol).__name__}.")
    if not len(what_if.protocol):
        raise FeasibilityError(f"{what_if.protocol.id} has no criterion to move: all are waived or not assessable.")
    return Panel(PanelState(what_if.prepare()), widgets, folder=folder, height=height)


def import_widgets():
    """ipywidgets, or an error that says how to get it."""
    try:
        import ipywidgets
    except ImportError:
        raise FeasibilityError(
            "The panel needs ipywidgets: pip install trial-feasibility[notebook], then start the notebook again."
        ) from None
    return ipywidgets


class Panel:
    """The widgets over a ``PanelState``. ``state`` is the model, ``widget`` what a notebook shows."""

    def __init__(self, state: PanelState, widgets: Any, *, folder: str | Path | None, height: int):
        from feasibility.widgets.settings import ClauseBox

        self.state, self.widgets, self.folder = state, widgets, folder
        style = files("feasibility.widgets").joinpath("panel.css").read_text(encoding="utf-8")
        w = widgets
        self.headline, self.changes, self.funnel, self.message = (w.HTML() for _ in range(4))
        self.clauses = {clause: ClauseBox(self, clause) for clause in state.clauses}
        settings = w.VBox([one.box for one in self.clauses.values()], layout=w.Layout(height=f"{height}px"))
        settings.add_class("fz-settings")
        settings.layout.flex, settings.layout.min_width = "1 1 430px", "340px"
        table = w.VBox([self.funnel], layout=w.Layout(flex="1 1 430px", min_width="400px", padding="0 0 0 12px"))
        both = w.HBox([settings, table], layout=w.Layout(flex_flow="row wrap", align_items="flex-start"))
        top = w.HTML(f"<style>{style}</style>{html.heading(state)}")
        buttons = self._buttons()
        drawers = self.drawers.values()
        self.widget = w.VBox([top, self.headline, self.changes, buttons, self.message, *drawers, both])
        self.widget.add_class("fz-panel")
        self.refresh()

    def _repr_mimebundle_(self, **kwargs):
        return self.widget._repr_mimebundle_(**kwargs)

    # --- the right side ----------------------------------------------------------------------------------------

    def _buttons(self):
        w = self.widgets
        self.reset = w.Button(description="Reset all", tooltip="Back to the protocol as given")
        self.reset.on_click(lambda _: self.do(self.state.reset))
        self.drawers = {
            w.ToggleButton(description="Order…", tooltip="Order of the funnel"): self._order(),
            w.ToggleButton(description="Save as scenario…", tooltip="A TOML file of the changes"): self._scenario(),
            w.ToggleButton(description="Copy as code…", tooltip="The changes as Python"): self._code(),
        }
        for button, drawer in self.drawers.items():
            drawer.add_class("fz-drawer")
            drawer.layout.display = "none"
            button.observe(lambda change: self._open(change["owner"], change["new"]), "value")
        return self._line([self.reset, *self.drawers])

    def _order(self):
        w, state = self.widgets, self.state
        # A menu and not a list: JupyterLab takes the arrow keys from a list.
        self.order = w.Dropdown(description="Move clause", layout=w.Layout(flex="1 1 240px"), style=LABEL)
        moves = []
        for text, action in (
            ("▲ Up", lambda: state.move(self.order.value, -1)),
            ("▼ Down", lambda: state.move(self.order.value, 1)),
            ("As in the protocol", lambda: state.sort("protocol")),
            ("Largest loss first", lambda: state.sort("largest loss")),
        ):
            moves.append(w.Button(description=text))
            moves[-1].on_click(lambda _, action=action: self.do(action))
        return self._line([self.order, *moves])

    def _scenario(self):
        w, wide = self.widgets, self.widgets.Layout(width="98%")
        self.name = w.Text(description="Name", placeholder="Wider blood counts", layout=wide, style=LABEL)
        self.name.observe(lambda _: self.refresh(), "value")
        self.toml = w.Textarea(description="Scenario file", rows=9, layout=wide, style=LABEL)
        self.save = w.Button(description="Save file")
        self.save.on_click(lambda _: self.do(self._save))
        return w.VBox([self.name, self.toml, *([self._line([self.save])] if self.folder is not None else [])])

    def _code(self):
        w = self.widgets
        self.code = w.Textarea(description="Python", rows=4, layout=w.Layout(width="98%"), style=LABEL)
        return w.VBox([self.code, w.HTML('<p class="fz-note">Click into the text, then Ctrl+A and Ctrl+C.</p>')])

    def _line(self, children):
        for one in children:
            one.layout.width = "auto"
        return self.widgets.HBox(children, layout=self.widgets.Layout(flex_flow="row wrap"))

    def _open(self, button, opened: bool) -> None:
        """Open one drawer; another one closes."""
        self.drawers[button].layout.display = "flex" if opened else "none"
        for other in self.drawers:
            if opened and other is not button:
                other.value = False
        self.refresh()

    def _save(self) -> str:
        path = self.state.save(self.name.value, self.folder)
        return f"Saved as {path.name}. Read it with fz.Scenario.from_toml({str(path)!r})."

    # --- the loop ----------------------------------------------------------------------------------------------

    def do(self, action) -> bool:
        """Run a change of the state and show what it comes to; an error is shown and changes nothing."""
        try:
            said, kind = action() or "", "done"
        except FeasibilityError as error:
            said, kind = str(error), "error"
        self.message.value = html.said(said, kind)
        self.refresh()
        return kind != "error"

    def refresh(self) -> None:
        """Show the state; a widget whose value stays the same sends nothing."""
        state = self.state
        self.headline.value, self.changes.value = html.headline(state), html.changes(state)
        self.funnel.value = html.funnel(state)
        names = [(html.clause_name(state, clause), clause) for clause in state.order]
        if list(self.order.options) != names:
            chosen = self.order.value or state.order[0]
            self.order.options = names
            self.order.value = chosen
        self.toml.value = state.scenario(self.name.value).to_toml()
        self.code.value = state.code()
        for one in self.clauses.values():
            one.refresh()
