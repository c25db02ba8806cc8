"""The names that the module :mod:`.child_events` had before."""

from .child_events import ChildEvent, EventCallback, EventPosition, Listeners, events_since, wait_delivered

News, Callback, Mark = ChildEvent, EventCallback, EventPosition

__all__ = ["Callback", "Listeners", "Mark", "News", "events_since", "wait_delivered"]
