"""What master and child agree on: pure functions, and one small file for each kind of message."""
