"""The mapping's public face: settings in, pure functions out (record -> user, event)."""

from target_insiderone.events import compile_events
from target_insiderone.mapped import MappedEvent, MappedProfile, Note
from target_insiderone.profiles import compile_profiles
from target_insiderone.sources import Record

__all__ = ["MappedEvent", "MappedProfile", "Note", "Record", "compile_events", "compile_profiles"]
