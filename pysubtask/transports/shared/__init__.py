"""What several transports use: pace, byte counts, hashes, keys, what a server turned out to do."""
