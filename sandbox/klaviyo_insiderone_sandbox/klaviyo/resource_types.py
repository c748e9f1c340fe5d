"""Types of simple resources: a declaration, from which the JSON:API text is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.klaviyo.endpoints import any_of
from klaviyo_insiderone_sandbox.klaviyo.errors import not_found
from klaviyo_insiderone_sandbox.klaviyo.jsonapi import relationship, selection
from klaviyo_insiderone_sandbox.klaviyo.resources import Resource

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Collection, Mapping, Sequence

    from klaviyo_insiderone_sandbox.klaviyo.state import Account


@dataclass(frozen=True, slots=True, eq=False)
class ResourceType:
    """One type of resources, as it is at every endpoint."""

    name: str
    """As JSON:API names it: ``tag-group``."""
    collection: str
    """Its part of addresses: ``tag-groups``."""
    scope: str
    attributes: tuple[str, ...]
    members: tuple[str, ...] = ()
    """Dotted paths into attributes that sparse fields may name too."""
    additional: tuple[str, ...] = ()
    """Attributes that are shown only when ``additional-fields`` asks for them."""
    to_one: Mapping[str, str] = field(default_factory=dict)
    """Relationship -> type of its target, whose id is always shown."""
    to_many: Mapping[str, str] = field(default_factory=dict)
    """Relationship -> type of its targets, whose ids are shown if they are included."""
    kept_elsewhere: Callable[[Account], Mapping[str, Resource]] | None = None
    """Returns the resources by id; None = the account's simple resources."""

    @property
    def path(self) -> str:
        """The path of the collection."""
        return f"/api/{self.collection}"

    def fields(self, additional: Collection[str] = ()) -> re.Pattern[str]:
        """Compile what ``fields[type]`` may list where these *additional* fields are offered."""
        return any_of(*self.attributes, *self.members, *additional)

    def kept(self, account: Account) -> Mapping[str, Resource]:
        """Return an account's resources of this type, by id."""
        return account.resources[self.name] if self.kept_elsewhere is None else self.kept_elsewhere(account)

    def find(self, account: Account, resource_id: str) -> Resource:
        """Return one resource.

        Raises:
            KlaviyoError: 404.
        """
        found = self.kept(account).get(resource_id)
        if found is None:
            article = "An" if self.name[0] in "aeiou" else "A"
            raise not_found(f"{article} {self.name} with id {resource_id} does not exist.")
        return found

    def made(self, resource_id: str, attributes: Mapping[str, str], related: Mapping[str, Sequence[str]]) -> Resource:
        """Make a resource of attributes as JSON text, and of ids by relationship.

        Raises:
            ValueError: The type has no such attribute or relationship.
        """
        known = {*self.attributes, *self.additional, *self.to_one, *self.to_many}
        unknown = [name for name in (*attributes, *related) if name not in known]
        if unknown:
            raise ValueError(f"a {self.name} has no {', '.join(unknown)}")
        resource = Resource(resource_id, attributes)
        resource.related = {name: list(ids) for name, ids in related.items()}
        return resource

    def references(self, relation: str, related: Sequence[str]) -> str:
        """Compose the data of a relationship: a list of references, or one of them or null."""
        if relation in self.to_many:
            return "[" + ",".join(reference(self.to_many[relation], one) for one in related) + "]"
        return reference(self.to_one[relation], related[0]) if related else "null"


class Writer:
    """Writes resources of one type with the same selection and base URL."""

    def __init__(
        self,
        kind: ResourceType,
        base_url: str,
        asked: Sequence[str] | None,
        includes: Collection[str] = (),
        additional: Collection[str] = (),
    ) -> None:
        self._kind = kind
        self._url = f"{base_url}{kind.path}"
        self._shown = selection(kind.attributes, asked, [name for name in kind.additional if name in additional])
        self._includes = includes

    def write(self, resource: Resource) -> str:
        """Compose one resource."""
        given, cut = resource.attributes, self._shown.cut
        attributes = ",".join(f'"{name}":{cut(name, given.get(name, "null"))}' for name in self._shown.names)
        url = f"{self._url}/{resource.id}"
        return (
            f'{{"type":"{self._kind.name}","id":"{resource.id}","attributes":{{{attributes}}},'
            f'{self._relationships(resource, url)}"links":{{"self":"{url}/"}}}}'
        )

    def _relationships(self, resource: Resource, url: str) -> str:
        kind = self._kind
        names = (*kind.to_one, *kind.to_many)
        if not names:
            return ""
        shown = [
            relationship(
                url,
                name,
                kind.references(name, resource.related.get(name, ()))
                if name in kind.to_one or name in self._includes
                else None,
            )
            for name in names
        ]
        return f'"relationships":{{{",".join(shown)}}},'


def reference(kind: str, resource_id: str) -> str:
    """Refer to a resource by type and id."""
    return f'{{"type":"{kind}","id":"{resource_id}"}}'
