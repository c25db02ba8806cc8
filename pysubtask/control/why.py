"""Where the sentence was before the app's half used it, too: :mod:`pysubtask.common.why`."""

from ..common.why import first, not_queued, remedy, sentence, standing, why, word

__all__ = ["first", "not_queued", "remedy", "sentence", "standing", "why", "word"]
