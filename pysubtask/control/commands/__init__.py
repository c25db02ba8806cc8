"""One module for each command, of the command's name, with a click command called ``command`` in it."""
