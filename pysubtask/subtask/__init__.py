"""The child: watches, snapshots, queues and uploads, in a process of its own."""
