"""Requests from people and masters, carried out between two ticks of a child."""
