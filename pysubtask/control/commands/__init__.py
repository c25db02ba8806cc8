"""One module for each command, of the command's name, with a click command called ``command`` in it.

The docstring of ``command`` is the help text that ``--help`` shows, so the docstring of the module names the errors that the
command raises.
"""
