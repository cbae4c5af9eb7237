"""Which steroid or immunosuppressant a product's name means: "predniSONE 5 MG Oral Tablet" is prednisone.

Hospitals code the product they prescribe (RxNorm clinical drugs, national drug codes, local numbers), not the
ingredient, and few extracts carry the vocabulary that joins the two. A product that is not recognised would read as
"takes none", so the names in the code lists are looked for, as whole words, in the product's own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from feasibility.cohort import codelists

LISTS = ("steroids", "immunosuppressants")
LOCAL_FORMS = {
    "topical": "topical", "cream": "topical", "ointment": "topical", "lotion": "topical", "ophth": "ophthalmic",
    "otic": "otic", "nasal": "nasal", "inhal": "inhalation", "nebuli": "inhalation", "乳膏": "外用", "软膏": "外用",
    "滴眼": "滴眼", "吸入": "吸入", "鼻喷": "鼻",
}  # fmt: skip
"""Parts of a product's name that say it is not given for its effect on the whole body, and the route they mean."""

CODING = "if(code IS NULL, 'local', coalesce(system, 'local')) AS s, coalesce(code, generic) AS c"
"""An order without a code is looked up by its name."""


@lru_cache(maxsize=1)
def _names() -> re.Pattern[str]:
    """Every local name of the lists, the longest first; a Latin name only as a whole word."""
    names = {code for n in LISTS for code in sum(codelists.matches(n).get("local", ((), ())), ())}
    parts = []
    for name in sorted(names, key=lambda n: (-len(n), n)):
        word = re.escape(name.casefold())
        parts.append(rf"(?<![a-z]){word}(?![a-z])" if name.isascii() else word)
    return re.compile("|".join(parts))


def ingredients(product: str) -> tuple[str, ...]:
    """The names of our lists that a product's name contains, each once, in small letters.

    >>> ingredients("cycloSPORINE, modified 100 MG Oral Capsule"), ingredients("醋酸泼尼松龙片")
    (('cyclosporine',), ('醋酸泼尼松龙',))
    >>> ingredients("Fludrocortisone Acetate 0.1 mg Tab")
    ()
    """
    return tuple(dict.fromkeys(_names().findall(product.casefold())))


def local_route(product: str) -> str | None:
    """The route of a product whose name says that it acts locally; else None.

    >>> local_route("Hydrocortisone 10 MG/ML Topical Cream"), local_route("predniSONE 5 MG Oral Tablet")
    ('topical', None)
    """
    text = product.casefold()
    return next((route for form, route in LOCAL_FORMS.items() if re.search(rf"(?<![a-z]){form}", text)), None)


def named(products: Iterable[str | None]) -> list[tuple[str, str, str | None]]:
    """(product, ingredient, route or None) for every distinct product whose name contains a listed ingredient."""
    distinct = sorted({p for p in products if p})
    return [(p, name, local_route(p)) for p in distinct for name in ingredients(p)]


def add_ingredients(duck) -> None:
    """One more coding, system local, for each order of ``medications`` that only its name shows to be on a list.

    ``duck`` is a DuckDB connection. A blank route is taken from the name where that says the product acts locally.
    """
    import pyarrow as pa

    from feasibility.cohort.event_rows import Finder

    found = named(t for (t,) in duck.execute("SELECT DISTINCT generic FROM medications").fetchall())
    if not found:
        return
    finder = Finder({"listed": LISTS})
    codes = duck.execute(f"SELECT DISTINCT {CODING} FROM medications").fetchall()
    listed = [(s, c) for s, c in codes if c and finder.items(s, c)]
    for name, columns, rows in (("named_", ("product", "ingredient", "form"), found), ("listed_", ("s", "c"), listed)):
        values = zip(*rows, strict=True) if rows else ([] for _ in columns)
        duck.register(name, pa.table({k: pa.array(v, pa.string()) for k, v in zip(columns, values, strict=True)}))
    first = f"""SELECT * FROM medications WHERE generic IN (SELECT product FROM named_) AND fact_id NOT IN
        (SELECT fact_id FROM (SELECT fact_id, {CODING} FROM medications) JOIN listed_ USING (s, c))
        QUALIFY row_number() OVER (PARTITION BY fact_id ORDER BY row_id, system, code) = 1"""
    duck.execute(f"""INSERT INTO medications SELECT m.* REPLACE ('local' AS system, n.ingredient AS code,
        coalesce(m.route, n.form) AS route) FROM ({first}) AS m JOIN named_ AS n ON n.product = m.generic""")
    for name in ("named_", "listed_"):
        duck.unregister(name)
