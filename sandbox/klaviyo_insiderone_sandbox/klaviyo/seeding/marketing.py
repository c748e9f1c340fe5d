"""Made-up lists, segments and tags, and their relationships."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from klaviyo_insiderone_sandbox.clock import shown
from klaviyo_insiderone_sandbox.klaviyo.ids import short_id
from klaviyo_insiderone_sandbox.klaviyo.resources import Resource

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.klaviyo.state import Account


def sow_marketing(account: Account, made: int) -> None:
    """Add two lists, three segments, and tags in two groups, created at *made*."""
    newsletter, sms_club = mailing_list("Newsletter", made), mailing_list("SMS club", made, double=False)
    members = segment("Newsletter subscribers", made, group_condition(newsletter, is_member=True))
    strangers = segment("On no list", made, *(group_condition(one, is_member=False) for one in (newsletter, sms_club)))
    retired = segment("Old campaign", made, group_condition(sms_club, is_member=True), is_active=False)
    default, season = tag_group("Default Tag Group", default=True), tag_group("Season", exclusive=True)
    vip, summer, winter = tag("vip", default), tag("summer", season), tag("winter", season)
    newsletter.relate("tags", vip, "lists")
    newsletter.relate("tags", summer, "lists")
    sms_club.relate("tags", winter, "lists")
    members.relate("tags", vip, "segments")
    for kind, resources in {
        "list": (newsletter, sms_club),
        "segment": (members, strangers, retired),
        "tag-group": (default, season),
        "tag": (vip, summer, winter),
    }.items():
        for one in resources:
            account.put(kind, one)


def mailing_list(
    name: str, created: int, updated: int | None = None, *, list_id: str | None = None, double: bool = True
) -> Resource:
    """Make up a list; in this sandbox it has no members."""
    return Resource.of(
        list_id or short_id(name, 6),
        name=name,
        created=shown(created),
        updated=shown(created if updated is None else updated),
        opt_in_process="double_opt_in" if double else "single_opt_in",
        profile_count=0,
    )


def segment(name: str, created: int, *conditions: dict[str, Any], is_active: bool = True) -> Resource:
    """Make up a segment with these conditions; in this sandbox it has no members."""
    return Resource.of(
        short_id(f"segment {name}", 6),
        name=name,
        definition={"condition_groups": [{"conditions": [one]} for one in conditions]},
        created=shown(created),
        updated=shown(created),
        is_active=is_active,
        is_processing=False,
        is_starred=False,
        profile_count=0,
    )


def group_condition(group: Resource, *, is_member: bool) -> dict[str, Any]:
    """Compose a condition on membership in a list."""
    condition = {"type": "profile-group-membership", "is_member": is_member, "group_ids": [group.id]}
    return {**condition, "timeframe_filter": None} if is_member else condition


def tag_group(name: str, *, exclusive: bool = False, default: bool = False) -> Resource:
    """Make up a group of tags."""
    return Resource.of(unique_id(f"tag group {name}"), name=name, exclusive=exclusive, default=default)


def tag(name: str, group: Resource) -> Resource:
    """Make up a tag in a group."""
    made = Resource.of(unique_id(f"tag {name}"), name=name)
    made.relate("tag-group", group, "tags")
    return made


def unique_id(text: str) -> str:
    """Derive a UUID from a string, deterministically."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))
