"""Side by side with other programs, on one machine in one run: ``python -m benchmarks.append`` and more, see docs/benchmarks.md."""
