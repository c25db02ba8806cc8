"""Servers on loopback: real programs, and models with faults on demand."""
