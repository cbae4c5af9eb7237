"""Words for yes, no, never and unknown in English, German and Chinese registries, and how a cell is normalised."""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPTS = re.compile("10([⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

MISSING = frozenset(
    """na n/a n.a. n.a nan null none nil . .. - -- --- — / \\ ? ?? unknown unk missing not_known not_available
    not_recorded not_applicable unspecified #n/a #na <na> nat
    unbekannt unbek. k.a. k.a ka keine_angabe keine_angaben nicht_bekannt nicht_dokumentiert fehlt fehlend entfällt
    未知 不详 不明 缺失 未记录 无数据 空 未填 不清楚""".split()
)
NOT_TESTED = frozenset(
    """not_done nd n.d. not_tested not_performed nicht_erhoben nicht_durchgeführt nicht_gemacht nicht_bestimmt n.b. n.u.
    未测 未查 未做 未检 未检测 未检查""".split()
)
NOT_DETECTED = frozenset(
    """not_detected undetected undetectable target_not_detected tnd nicht_nachweisbar nicht_nachgewiesen
    未检出 未检测到 检测不到 低于检测限 低于检测下限 below_detection_limit
    below_limit_of_detection <lod <lloq""".split()
)
YES = frozenset(
    """yes y true t 1 ja j wahr positive pos positiv reactive reaktiv present detected nachweisbar vorhanden
    + (+) ++ +++
    是 有 阳性 真 检出 存在""".split()
)
NO = (
    frozenset(
        """no n false f 0 nein falsch negative neg negativ non-reactive nonreactive nicht_reaktiv absent (-) keine kein
    否 无 没有 阴性 假 不存在""".split()
    )
    | NOT_DETECTED
)
NEVER = frozenset("never nie niemals 从未 从不 无 没有 inf infinity +inf ∞ no nein keine 否".split())


def tidy(text: str) -> str:
    """Full-width to plain characters, one space, no space at the ends; superscript powers of ten keep their meaning."""
    text = _SUPERSCRIPTS.sub(lambda m: "10^" + m[1].translate(_DIGITS), text)
    text = unicodedata.normalize("NFKC", text).replace("\u200b", "").replace("\ufeff", "")
    return " ".join(text.split())


def fold(text: str) -> str:
    """The form in which words are compared: tidy, lower case, ``_`` for spaces."""
    return tidy(text).casefold().replace(" ", "_")


def absent(word: str) -> str:
    """The reason a folded word stands for no value, or ''.

    >>> [absent(fold(t)) for t in ("N/A", "未测", "k. A.", "7")]
    ['missing', 'not_tested', 'missing', '']
    """
    if not word or word in MISSING or word.replace("_", "") in MISSING:
        return "missing"
    return "not_tested" if word in NOT_TESTED else ""
