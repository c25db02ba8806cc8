"""The name of one upload's temporary file, where a server may refuse some kinds of names."""

from __future__ import annotations

import os

from ..shared.means import TEMP
from ..shared.profile import Profile
from ..shared.temp_names import every, formed

_RUNGS = ("hidden", "hidden_ending", "visible", "ending")


class Temps:
    """``path`` is the name to use now. A name that the queue does not know is recorded in the profile before the file is
    created and until it is gone."""

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
        """Move ``path`` to the next kind of name after the server refused the present one; False where no kind is left."""
        self.over()
        if self._walk.refused(why) is None:
            return False
        self._take()
        return True

    def published(self) -> None:
        """Record that the file was renamed to its final name."""
        self.over()
        self._walk.worked()

    def over(self) -> None:
        """Record that the temporary file is gone."""
        if self.path != self._recorded:
            self._profile.gone([os.fsdecode(self.path)])

    def forms(self, recorded: bytes) -> list[bytes]:
        """The paths under which an earlier attempt's file may be."""
        return every(recorded, self._target) if TEMP.name in self._profile.stepped else [recorded]
