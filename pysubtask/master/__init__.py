"""The half that runs in the user's app: standard library only, no threads, never waits on the network."""
