"""Which bytes of a version have to be sent, given what the server has."""
