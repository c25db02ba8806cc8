"""Links that break on demand: relays, and network namespaces with loss, delay and outages."""
