"""Under which name the temporary file of one upload stands, where a server may take no such name."""

from __future__ import annotations

import os

from ..shared.means import TEMP
from ..shared.profile import Profile
from ..shared.temp_names import every, formed

_RUNGS = ("hidden", "hidden_ending", "visible", "ending")


class Temps:
    """``path`` is the one to use now. What has another name than the queue knows is on record in the profile from before it is
    made until it is gone."""

    def __init__(self, profile: Profile, recorded: bytes, target: bytes) -> None:
        self._profile, self._recorded, self._target = profile, recorded, target
        self._walk = profile.walk(TEMP, _RUNGS)
        self.path = recorded
        self._take()

    def _take(self) -> None:
        self.path = formed(self._recorded, self._walk.rung, self._target)
        if self.path != self._recorded:
            self._profile.hold(os.fsdecode(self.path))

    def refused(self, why: str) -> bool:
        """The server takes no such name; whether there is another kind, which ``path`` is now."""
        self.over()
        if self._walk.refused(why) is None:
            return False
        self._take()
        return True

    def published(self) -> None:
        """The file has its own name."""
        self.over()
        self._walk.worked()

    def over(self) -> None:
        """There is no such file any more."""
        if self.path != self._recorded:
            self._profile.gone([os.fsdecode(self.path)])

    def forms(self, recorded: bytes) -> list[bytes]:
        """Where the file of an earlier attempt may be."""
        return every(recorded, self._target) if TEMP.name in self._profile.stepped else [recorded]
