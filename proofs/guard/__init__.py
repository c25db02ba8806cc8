"""A child that is killed while its app sleeps: how long until the next file arrives. The app makes no call of its master's
meanwhile."""
