"""The live what-if panel for notebooks: the state without widgets, and the widgets over it.

``ipywidgets`` is imported when a panel is made, not before.
"""

from feasibility.widgets.panel import Panel, what_if_panel
from feasibility.widgets.state import PanelState

__all__ = ["Panel", "PanelState", "what_if_panel"]
