"""The registered eligibility text: cut into its clauses, and compared letter by letter after undoing its escapes."""

from __future__ import annotations

import re
import unicodedata

HEADINGS = {"inclusion": "I", "exclusion": "E"}
_HEADING = re.compile(r"^\W*(inclusion|exclusion)\s+criteria\W*$", re.IGNORECASE)
_NUMBERED = re.compile(r"^[\s•*\-]*(\d+)[.)、]\s*(.*)$")
_BULLET = re.compile(r"^[\s]*[•*\-]\s+(.*)$")


def normalise(text: str) -> str:
    r"""Text for comparison: Markdown escapes undone, one form for look-alike characters, single spaces.

    >>> normalise(r"CD3+ \> 0.5×10\^9/L,  178 µmol/L")
    'CD3+ > 0.5×10^9/L, 178 μmol/L'
    """
    text = re.sub(r"\\([\\`*_{}\[\]()#+\-.!<>^~|=])", r"\1", text)
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip()


def split_clauses(text: str) -> dict[str, str]:
    """Clause id ("I1", "E3") to its registered words, escapes undone.

    Clauses are the numbered lines (or bullets, where nothing is numbered) under "Inclusion Criteria:" and
    "Exclusion Criteria:"; further lines belong to the clause above.
    """
    clauses: dict[str, str] = {}
    prefix, current, numbered = "", "", False
    for line in text.splitlines():
        if not line.strip():
            continue
        heading = _HEADING.match(line.replace("•", " ").strip())
        if heading:
            prefix, current, numbered = HEADINGS[heading.group(1).lower()], "", False
            continue
        if not prefix:
            continue
        match, bullet = _NUMBERED.match(line), _BULLET.match(line)
        if match:
            current, numbered = f"{prefix}{int(match.group(1))}", True
            clauses[current] = match.group(2)
        elif bullet and not numbered:
            current = f"{prefix}{sum(c.startswith(prefix) for c in clauses) + 1}"
            clauses[current] = bullet.group(1)
        elif current:
            clauses[current] += " " + line
    return {clause: normalise(words) for clause, words in clauses.items()}
