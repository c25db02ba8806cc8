"""Who looks and steers: the command line. Everything goes through the files of the state folders, so it works with no
daemon, over ssh, and when the child is dead."""
