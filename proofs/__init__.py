"""Programs that try to make pysubtask lose data: random kills, crash points, producers of files, an adversary."""
