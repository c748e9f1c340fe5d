"""Made-up data, deterministic by seed: a shop's customers, their consent, and two months of events."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, shown_exactly
from klaviyo_insiderone_sandbox.klaviyo import consent
from klaviyo_insiderone_sandbox.klaviyo.attributions import Attribution, named
from klaviyo_insiderone_sandbox.klaviyo.consent import Naming
from klaviyo_insiderone_sandbox.klaviyo.events import Event, Metric
from klaviyo_insiderone_sandbox.klaviyo.ids import short_id
from klaviyo_insiderone_sandbox.klaviyo.profiles import Profile
from klaviyo_insiderone_sandbox.klaviyo.seeding import people, shop
from klaviyo_insiderone_sandbox.klaviyo.seeding.marketing import sow_marketing
from klaviyo_insiderone_sandbox.klaviyo.state import Account

DAY = 86_400
CURRENCIES = ("EUR", "EUR", "EUR", "TRY", "GBP")
MAX_TIES = 5_000
MIN_HOSTILE_EVENTS = 50
HOSTILE_SHARE = 0.04
"""Share of awkward profiles."""
CONSENT_SHARE = 0.4
"""Maximum share of events that record consent; consent beyond it has no event, as after an import."""
CREDITED_ORDERS = 8
"""One of so many orders is credited to an e-mail."""


class Seed(msgspec.Struct, forbid_unknown_fields=True):
    """How much to make up. Events end at the sandbox's now and begin *days* before it."""

    profiles: int = 2_000
    events: int = 5_000
    seed: int = 1
    days: int = 60
    hostile: bool = True
    """Adds what breaks naive pipelines: see :func:`awkward_events` and :mod:`.people`."""
    naming: Naming = "new"
    """Family of consent metric names."""


@dataclass(slots=True)
class Sower:
    """The state of one seeding."""

    account: Account
    seed: Seed
    chance: random.Random
    now: int
    """Epoch second."""
    products: list[shop.Product]
    made: int = 0
    orders: int = 0
    """Orders placed so far."""
    emails: dict[str, tuple[Event, str]] = field(default_factory=dict)
    """Profile id -> the last e-mail event made up for it, and the number of its campaign."""

    def event(
        self, metric: Metric, owner: str, second: int, properties: str, visible_after: int | None = None
    ) -> Event:
        """Record one event, and move its owner's dates."""
        self.made += 1
        event_id = short_id(f"{self.seed.seed} {self.made}", 11)
        event = Event((second, event_id), metric, owner, properties, visible_after=visible_after)
        self.account.events.add(event)
        profile = self.account.profiles.by_id.get(owner)
        if profile is not None and second <= self.now:
            profile.last_event_second = max(second, profile.last_event_second or 0)
            profile.updated = max(profile.updated, second * MICROSECONDS + self.made % MICROSECONDS)
        return event

    def credit(self, order: Event) -> None:
        """Credit every eighth order: to the campaign whose e-mail its owner got before it, or else to a flow."""
        self.orders += 1
        if self.orders % CREDITED_ORDERS:
            return
        email, number = self.emails.get(order.profile_id, (None, ""))
        message = Attribution(flow="FLOW01", flow_message="FLMSG1", flow_message_variation="FLMSG1A")
        if email is not None and email.place < order.place:
            message = Attribution(
                attributed_event=email.place[1],
                campaign=f"01CAMPAIGN{number}",
                campaign_message=f"01MESSAGE{number}",
            )
        order.attributions = named(order.place[1], [message])


def sow(account: Account, seed: Seed) -> None:
    """Add made-up profiles, consent, lists and events to an account."""
    chance = random.Random(seed.seed)  # noqa: S311 - repeatable data, not secrets
    account.naming = seed.naming
    sower = Sower(account, seed, chance, account.clock.now() // MICROSECONDS, shop.catalog(chance))
    sow_marketing(account, (sower.now - seed.days * DAY) * MICROSECONDS)
    ids = sow_profiles(sower)
    if ids:
        sow_consent(sower, ids)
        sow_events(sower, ids)
    account.profiles.moved()
    account.events.all()  # sorts them now, so that the first read is quick


def sow_profiles(sower: Sower) -> list[str]:
    """Add people; return their ids."""
    seed, chance = sower.seed, sower.chance
    first = (sower.now - seed.days * DAY) * MICROSECONDS
    awkward_every = round(1 / HOSTILE_SHARE)
    profiles = []
    for number in range(seed.profiles):
        created = first + chance.randrange(seed.days * DAY // 2) * MICROSECONDS + chance.randrange(MICROSECONDS)
        profile = Profile(f"01{short_id(f'{seed.seed} profile {number}', 24).upper()}", created)
        is_awkward = seed.hostile and number % awkward_every == 0
        made = (
            people.awkward(chance, number, number // awkward_every) if is_awkward else people.ordinary(chance, number)
        )
        sower.account.apply(profile, made)
        profiles.append(profile)
    sower.account.profiles.put_all(profiles)
    return [profile.id for profile in profiles]


CONSENTS: tuple[tuple[int, consent.Channel, consent.Consent, consent.Reason | None], ...] = (
    (45, "email", "SUBSCRIBED", None),
    (10, "email", "UNSUBSCRIBED", None),
    (3, "email", "SUBSCRIBED", "USER_SUPPRESSED"),
    (2, "email", "SUBSCRIBED", "HARD_BOUNCE"),
    (2, "email", "UNSUBSCRIBED", "SPAM_COMPLAINT"),
    (3, "email", "PENDING", None),
    (15, "sms", "SUBSCRIBED", None),
    (5, "sms", "UNSUBSCRIBED", None),
    (4, "whatsapp", "SUBSCRIBED", None),
    (1, "whatsapp", "UNSUBSCRIBED", None),
)
"""(people of 100, channel, consent, suppression)."""


def sow_consent(sower: Sower, ids: list[str]) -> None:
    """Give people consent of all kinds, with the events that record it."""
    chance, seed = sower.chance, sower.seed
    weights = [weight for weight, *_ in CONSENTS]
    for profile_id in ids:
        profile = sower.account.profiles.by_id[profile_id]
        _, channel, state, suppression = chance.choices(CONSENTS, weights)[0]
        if chance.random() < 0.1:
            continue
        second = sower.now - chance.randrange(1, seed.days * DAY)
        second = max(second, profile.created // MICROSECONDS)
        at = second * MICROSECONDS + chance.randrange(MICROSECONDS)
        after = consent.changed(consent.NEVER, channel, state, suppression, shown_exactly(at))
        profile.subscriptions = msgspec.json.encode(after).decode()
        name = consent.metric_of(channel, state, suppression, seed.naming)
        if name is not None and sower.made < seed.events * CONSENT_SHARE:
            metric = sower.account.metric(name, "Klaviyo")
            sower.event(metric, profile_id, second, f'{{"Method":"FORM","List":"Newsletter","$event_id":"{second}"}}')


def sow_events(sower: Sower, ids: list[str]) -> None:
    """Add a shop's events, the awkward ones first, up to the requested total."""
    chance, seed = sower.chance, sower.seed
    sowings = ordinary_events(sower)
    makers = [maker for _, maker in sowings]
    weights = [weight for weight, _ in sowings]
    if seed.hostile:
        awkward_events(sower, ids)
    remaining = seed.events - sower.made
    span = seed.days * DAY
    second = sower.now - chance.randrange(span)
    for maker in chance.choices(makers, weights, k=max(0, remaining)):
        if chance.random() > 0.3:  # three in ten share the second of the event before them
            second = sower.now - chance.randrange(span)
        maker(ids[int(chance.random() * len(ids))], second)


Maker = Callable[[str, int], None]


def ordinary_events(sower: Sower) -> list[tuple[int, Maker]]:
    """Return (weight, function that records one event of a profile at a second)."""
    chance, products = sower.chance, sower.products

    def product() -> shop.Product:
        return products[int(chance.random() * len(products))]

    return [
        (10, orders(sower, "Placed Order", "Shopify")),
        (2, orders(sower, "Placed Order", "API")),
        (5, orders(sower, "Started Checkout", "Shopify")),
        (3, orders(sower, "Fulfilled Order", "Shopify")),
        (1, orders(sower, "Cancelled Order", "Shopify")),
        (1, orders(sower, "Refunded Order", "Shopify")),
        (
            8,
            simple(
                sower, "Ordered Product", "Shopify", lambda key: shop.ordered_product(product(), f"SO-{key}", "EUR", 1)
            ),
        ),
        (10, simple(sower, "Added to Cart", "Shopify", lambda key: shop.added_to_cart(product(), 1, key))),
        (20, simple(sower, "Viewed Product", "API", lambda key: shop.viewed_product(product(), key))),
        (15, simple(sower, "Active on Site", "Klaviyo", lambda key: shop.active_on_site(product(), key))),
        (14, emails(sower, "Received Email", "1")),
        (7, emails(sower, "Opened Email", "1")),
        (3, emails(sower, "Clicked Email", "2", clicked=True)),
        (1, simple(sower, "Scanned Loyalty Card", "API", shop.scanned_card)),
    ]


def orders(sower: Sower, name: str, integration: str) -> Maker:
    """Make events of an order with random lines; a placed order may be credited to an e-mail."""
    metric = sower.account.metric(name, integration)

    def make(owner: str, second: int) -> None:
        text = shop.order(sower.chance, sower.products, f"SO-{sower.made + 1}", sower.chance.choice(CURRENCIES))
        order = sower.event(metric, owner, second, text)
        if name == "Placed Order":
            sower.credit(order)

    return make


def emails(sower: Sower, name: str, campaign: str, *, clicked: bool = False) -> Maker:
    """Make events of an e-mail of a campaign."""
    metric = sower.account.metric(name, "Klaviyo")

    def make(owner: str, second: int) -> None:
        text = shop.email(f"Campaign {campaign}", f"{second}-{sower.made}", clicked=clicked)
        sower.emails[owner] = sower.event(metric, owner, second, text), campaign

    return make


def simple(sower: Sower, name: str, integration: str, properties: Callable[[str], str]) -> Maker:
    """Make events whose properties depend on a key alone."""
    metric = sower.account.metric(name, integration)

    def make(owner: str, second: int) -> None:
        sower.event(metric, owner, second, properties(f"{second}-{sower.made}"))

    return make


def awkward_events(sower: Sower, ids: list[str]) -> None:
    """Add what breaks naive pipelines.

    One second with very many events; orders without items, with items that are no list, at price 0; huge numbers, empty
    values and odd keys in properties; events three years old, dated in the future, of erased people, and visible late.
    """
    chance, now = sower.chance, sower.now
    viewed, placed = sower.account.metric("Viewed Product", "API"), sower.account.metric("Placed Order", "Shopify")
    tied = now - sower.seed.days * DAY // 2
    for number in range(min(MAX_TIES, sower.seed.events // 20)):
        sower.event(
            viewed, chance.choice(ids), tied, shop.viewed_product(sower.products[number % 100], f"tie-{number}")
        )
    for turn in range(-(-sower.seed.events // 2_000) if sower.seed.events >= MIN_HOSTILE_EVENTS else 0):
        owner, second = chance.choice(ids), now - chance.randrange(sower.seed.days * DAY)
        for text in AWKWARD_ORDERS:
            sower.event(placed, owner, second, text.replace("@", f"HO-{sower.made + 1}"))
        product = shop.viewed_product(sower.products[turn % 100], f"odd-{sower.made}")
        sower.event(viewed, owner, now - 3 * 365 * DAY - turn, product)
        sower.event(viewed, owner, now + (turn % 300 + 1) * DAY, product)
        sower.event(viewed, f"01ERASED{turn:018d}", second, product)
        sower.event(viewed, owner, now - DAY - turn, product, (now + 3_600) * MICROSECONDS)


AWKWARD_ORDERS = (
    '{"OrderId":"@","$value":12.00,"$value_currency":"EUR","$event_id":"@"}',
    '{"OrderId":"@","Items":[],"$value":0,"$value_currency":"EUR","$event_id":"@"}',
    '{"OrderId":"@","Items":"Teapot","$value":"12,50","$event_id":"@"}',
    (
        '{"OrderId":"@","Items":[{"ProductID":"0","SKU":"","ProductName":"Gift","Quantity":1,"ItemPrice":0,"RowTotal":0,'
        '"Categories":[]}],"$value":0,"$value_currency":"EUR","$event_id":"@"}'
    ),
    (
        '{"OrderId":12345678901234567890,"Items":[{"ProductID":99999999999999999999,"ProductName":"Tea \\"loose\\" 🫖",'
        '"Quantity":"2","ItemPrice":0.1000,"RowTotal":0.2000}],"Total Price":0.2000,"a.b":{"c d":null},"$extra":"",'
        '"$value":0.2000,"$event_id":"@"}'
    ),
)
