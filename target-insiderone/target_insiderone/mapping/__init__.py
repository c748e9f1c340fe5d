"""The mapping: compiles settings to pure functions (record -> user or events)."""

from singer_delivery.mapping.columns import Note
from singer_delivery.mapping.sources import Record

from target_insiderone.mapping.events import compile_events
from target_insiderone.mapping.mapped import MappedEvent, MappedProfile
from target_insiderone.mapping.profiles import compile_profiles

__all__ = ["MappedEvent", "MappedProfile", "Note", "Record", "compile_events", "compile_profiles"]
