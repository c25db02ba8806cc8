"""The first config of a station, as ``pysubtask init`` writes it."""
