"""The byte stream of an SSH login, over the system's ssh or asyncssh."""
