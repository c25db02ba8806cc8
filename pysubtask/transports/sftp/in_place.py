"""Whether there is no other way than to write a file under its final name, where the settings allow that."""

from __future__ import annotations

from ..shared.means import PUBLISH, TEMP
from ..shared.temp_names import formed
from .attempt import Attempt
from .proof import Proof, rename_works


async def is_in_place(attempt: Attempt) -> bool:
    """As far as is known, or can be tried without sending the file for nothing: with small files of our own."""
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
    """Whether a file can be made beside the others and get another name by now; then the upload goes the same way."""
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
