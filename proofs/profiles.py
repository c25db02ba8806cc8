"""Servers that torture, crash explorer and power cuts are run against besides a good one: what each refuses, and what then can
be promised."""

from __future__ import annotations

from typing import Any, NamedTuple

from pysubtask.testing.servers.quirks import OBJECT_STORE, Quirks


class ServerProfile(NamedTuple):
    """``values`` of ``Quirks``. ``promises``: in words. ``gap``: a reader may for a moment find no file under a name that had one,
    never a broken one. ``sends_again``: what arrived at a kill, a cut or a stall may be sent once more, as the server shows
    nothing by which it could be known. ``litter``: so many temporary files may be left, each known and told; ``crowd``: so many
    where as many uploads were killed at the same time.
    """

    name: str
    values: dict[str, Any]
    promises: str
    gap: bool = False
    sends_again: bool = False
    litter: int = 0
    crowd: int = 0

    def quirks(self) -> Quirks:
        """New quirks with the values of this profile."""
        built = Quirks()
        built.set(**self.values)
        return built


PROFILES = {
    each.name: each
    for each in (
        ServerProfile(
            "no rename over",
            {"rename": "new"},
            "nothing lost, torn, left or sent twice; a name may for a moment be without its file, never with half of one",
            gap=True,
        ),
        ServerProfile(
            "object store",
            OBJECT_STORE,
            "nothing lost, torn or left; a name may for a moment be without its file, never with half of one; what was under way "
            "at a kill or a cut may be sent again, as the server keeps no times by which it could be known",
            gap=True,
            sends_again=True,
        ),
        ServerProfile(
            "delete refused",
            {"delete": False},
            "nothing lost, torn or sent twice; a name always has its file; of uploads that were cut temporary files stay, as many "
            "as were under way at once (after many cuts within an hour 64 more), which later uploads write to, and which the "
            "status page counts",
            litter=2,
            crowd=96,
        ),
    )
}
"""By name."""
