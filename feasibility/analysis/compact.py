from feasibility.engine.compact import *  # noqa: F403
from feasibility.engine.compact import OPPOSITE, Nothing, NotCompactError, Num, Tri, compact, differs, is_number, take  # noqa: F401
