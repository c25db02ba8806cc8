"""What the child and ``pysubtask push`` decide alike about a delivery. Pure."""
