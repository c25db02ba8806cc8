"""The command line, which shows tasks and sends them requests. All of it goes through the files of the state folders, so that it
works without a daemon, over ssh, and while the child is dead."""
