"""``pysubtask run`` and ``pysubtask service``: tasks kept running, by hand or by systemd."""
