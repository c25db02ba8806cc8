"""From the queue to the server: the thread that connects, uploads and retries."""
