"""What a criterion may be built from, checked on its source when it is declared.

A criterion that uses only comparisons, ``&``, ``|``, ``~``, ``+ - *`` with thresholds and the ``kleene`` helpers
gives the same answer, unknown for unknown, on pandas, DuckDB, PostgreSQL and Spark.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator

from feasibility.errors import ProtocolError

OPERATIONS = {
    ast.Div: ("/", "division differs between engines: declare the ratio as a cohort column"),
    ast.FloorDiv: ("//", "division differs between engines: declare the result as a cohort column"),
    ast.Mod: ("%", "the remainder differs between engines: declare the result as a cohort column"),
    ast.Pow: ("**", "powers differ between engines: declare the result as a cohort column"),
}
METHODS = {
    "isin": "it says False for a missing value; use kleene.is_in(column, values)",
    "fillna": "it turns unknown into an answer; only the cohort may, in a column's declaration",
    "isna": "a hole must not decide; unknown stays unknown",
    "isnull": "a hole must not decide; unknown stays unknown",
    "notna": "a hole must not decide; unknown stays unknown",
    "notnull": "a hole must not decide; unknown stays unknown",
    "dropna": "it drops patients; a criterion returns one answer for every patient",
    "apply": "it runs patient by patient; use comparisons and &, |, ~",
    "map": "it runs patient by patient; use comparisons, &, |, ~ and kleene.is_in",
    "query": "it takes code as text; use comparisons and &, |, ~",
    "abs": "it differs between engines; compare with both ends",
    "round": "rounding before comparing moves the threshold",
    "where": "use kleene.when(condition, then, otherwise)",
    "mask": "use kleene.when(condition, then, otherwise)",
    "astype": "columns already have their declared type",
    "any": "it answers for the whole cohort, not for each patient",
    "all": "it answers for the whole cohort, not for each patient",
}
CALLS = {
    "abs": "it differs between engines; compare with both ends",
    "round": "rounding before comparing moves the threshold",
    "eval": "a criterion is code, not text",
    "exec": "a criterion is code, not text",
}
MODULES = {"np": "numpy", "numpy": "numpy", "pd": "pandas", "pandas": "pandas"}


def check_operations(function, where: str) -> None:
    """Refuse what is not three-valued on every engine, naming the operation and what to write instead."""
    for one, tree in _sources(function):
        inside = where if one is function else f"{where}, in {one.__name__}()"
        arguments = _column_names(tree)
        for node in ast.walk(tree):
            problem = _problem(node, arguments)
            if problem:
                raise ProtocolError(f"{inside} uses {problem}.")


def _problem(node, columns) -> str:
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATIONS:
        sign, advice = OPERATIONS[type(node.op)]
        return f"'{sign}': {advice}"
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            base = node.func.value
            if isinstance(base, ast.Name) and base.id in MODULES:
                return f"{base.id}.{node.func.attr}(): a criterion calls no {MODULES[base.id]} function; use kleene"
            if node.func.attr in METHODS:
                return f".{node.func.attr}(): {METHODS[node.func.attr]}"
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            return f"{node.func.id}(): {CALLS[node.func.id]}"
    if isinstance(node, ast.Compare):
        named = _names(node) & columns
        if len(node.ops) > 1 and named:
            return "a chained comparison: write (18 <= age) & (age <= 70), with & and brackets"
        if any(isinstance(op, (ast.In, ast.NotIn)) for op in node.ops) and _names(node.left) & columns:
            return "'in' on a column: use kleene.is_in(column, values)"
        if any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops) and named:
            return "'is' on a column: a hole must not decide; unknown stays unknown"
    if isinstance(node, ast.BoolOp) and _names(node) & columns:
        return "'and'/'or' on columns: use & and |, with brackets around each comparison"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and _names(node) & columns:
        return "'not' on a column: use ~"
    if isinstance(node, (ast.If, ast.IfExp, ast.While)) and _names(node.test) & columns:
        return "'if' on a column: use kleene.when(condition, then, otherwise)"
    if isinstance(node, (ast.For, ast.While)):
        return "a loop: use comparisons and &, |, ~"
    return ""


def _names(tree) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _column_names(tree) -> set[str]:
    """Positional parameters, and what is assigned from them."""
    columns = {a.arg for a in (*tree.args.posonlyargs, *tree.args.args)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _names(node.value) & columns:
            columns |= {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return columns


def _sources(function, seen=None) -> Iterator[tuple[Callable, ast.FunctionDef]]:
    """The function and every plain helper it calls, parsed; kleene itself is trusted. Nothing where no source is."""
    seen = set() if seen is None else seen
    if function in seen or getattr(function, "__module__", "") == "feasibility.kleene":
        return
    seen.add(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return
    if not isinstance(tree, ast.FunctionDef):
        return
    tree.decorator_list = []
    yield function, tree
    names = inspect.getclosurevars(function)
    for name in sorted(_names(tree)):
        helper = names.nonlocals.get(name, names.globals.get(name))
        if inspect.isfunction(helper):
            yield from _sources(helper, seen)


def normalised_source(function) -> str:
    """The code of a function and of its helpers, without comments, layout and docstrings, with the constants it names.

    The protocol's fingerprint covers it. Where no source is available the byte code stands in.
    """
    parts = [text + _named_constants(one) for one, text in _code_of(function)]
    if not parts:
        code = function.__code__
        constants = [c for c in code.co_consts if c != function.__doc__]
        parts.append(repr((code.co_code.hex(), code.co_names, constants)) + _named_constants(function))
    return "\n".join(parts)


@functools.lru_cache(maxsize=1024)
def _code_of(function) -> tuple[tuple, ...]:
    """A function and its helpers, each with its code; read once, because a release asks for it hundreds of times."""
    found = []
    for one, tree in _sources(function):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        found.append((one, ast.unparse(tree)))
    return tuple(found)


def _named_constants(function) -> str:
    names = inspect.getclosurevars(function)
    plain = (int, float, str, tuple, list, dict, frozenset, bool)
    values = dict(names.globals) | dict(names.nonlocals)
    return repr({name: repr(value) for name, value in sorted(values.items()) if isinstance(value, plain)})
