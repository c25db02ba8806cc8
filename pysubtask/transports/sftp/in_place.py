"""Whether a file has to be written under its final name, where the settings allow that (StoreInPlace)."""

from __future__ import annotations

from ..shared.means import PUBLISH, TEMP
from ..shared.temp_names import formed
from .attempt import Attempt
from .proof import Proof, rename_works


async def is_in_place(attempt: Attempt) -> bool:
    """From the profile, or by a trial with small files, so that the file itself is not sent only to find that out.

    ``attempt.walk`` is set where temporary names turned out to work."""
    profile = attempt.server.profile
    if profile.rung(TEMP) == "in_place":
        return not profile.is_due(TEMP) or not await _takes_temps(attempt)
    if profile.rung(PUBLISH) != "in_place":
        return False
    if not profile.is_due(PUBLISH):
        return True
    walk = profile.walk(PUBLISH)
    proof = await _renames(attempt, profile.rung(TEMP))
    walk.came_to("rename" if proof.works else "in_place", proof.why, unknown=proof.unknown)
    return not proof.works


async def _takes_temps(attempt: Attempt) -> bool:
    """Whether a temporary file can be created and renamed by now; then this upload uses one."""
    walk, why = attempt.server.profile.walk(TEMP), ""
    for rung in ("hidden", "hidden_ending", "visible", "ending"):
        proof = await _renames(attempt, rung)
        if proof.works:
            attempt.walk = walk
            return True
        why = proof.why
    walk.came_to("in_place", why)
    return False


async def _renames(attempt: Attempt, rung: str) -> Proof:
    path = formed(attempt.recorded, rung, attempt.target)
    return await rename_works(attempt.client, attempt.server.leftovers, path)
