"""Made-up properties of a shop's events: products, orders, page views, as in Klaviyo's integrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

SITE = "https://sandbox-shop.example"

CATEGORIES = ("Kitchen", "Tea", "Ceramics", "Garden", "Lighting", "Textiles", "Books", "Gifts")
ADJECTIVES = ("Blue", "Green", "Oak", "Linen", "Small", "Large", "Nordic", "Café", "Classic", "Folding")
NOUNS = ("Teapot", "Mug", "Bowl", "Lamp", "Cushion", "Vase", "Notebook", "Basket", "Kettle", "Throw")
BRANDS = ("Fjord & Co", "Havn", "Ærlig", "Lumen")


@dataclass(frozen=True, slots=True)
class Product:
    """One product; prices are in hundredths."""

    product_id: str
    sku: str
    name: str
    price: int
    categories: str
    """JSON text."""
    brand: str
    url: str
    image: str


def catalog(chance: random.Random) -> list[Product]:
    """Make up a catalog of 100 products."""
    products = []
    for number, (adjective, noun) in enumerate((one, other) for one in ADJECTIVES for other in NOUNS):
        first, second = chance.sample(CATEGORIES, 2)
        slug = f"p{1000 + number}"
        products.append(
            Product(
                product_id=str(7_000_000_000_000 + number),
                sku=f"SKU-{1000 + number}",
                name=f"{adjective} {noun}",
                price=chance.randrange(300, 20_000, 5),
                categories=f'["{first}","{second}"]',
                brand=chance.choice(BRANDS),
                url=f"{SITE}/products/{slug}",
                image=f"{SITE}/images/{slug}.jpg",
            )
        )
    return products


def money(hundredths: int) -> str:
    """Write an amount with two decimals, as shops send it: ``40.00``."""
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def line_item(product: Product, quantity: int) -> str:
    """Compose one order line."""
    return (
        f'{{"ProductID":"{product.product_id}","SKU":"{product.sku}","ProductName":"{product.name}","Quantity":{quantity},'
        f'"ItemPrice":{money(product.price)},"RowTotal":{money(product.price * quantity)},"ProductURL":"{product.url}",'
        f'"ImageURL":"{product.image}","Categories":{product.categories},"Brand":"{product.brand}"}}'
    )


def order(chance: random.Random, products: list[Product], order_id: str, currency: str) -> str:
    """Compose the properties of Placed Order and its like: one to three lines."""
    lines = [(chance.choice(products), chance.randint(1, 3)) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    total = sum(product.price * quantity for product, quantity in lines)
    discount = total // 10 if chance.random() < 0.25 else 0
    code = '"TEA10"' if discount else "null"
    items = ",".join(line_item(product, quantity) for product, quantity in lines)
    names = ",".join(f'"{product.name}"' for product, _ in lines)
    return (
        f'{{"OrderId":"{order_id}","Items":[{items}],"ItemNames":[{names}],"ItemCount":{len(lines)},"DiscountCode":{code},'
        f'"DiscountValue":{money(discount)},"Source Name":"web","$value":{money(total - discount)},'
        f'"$value_currency":"{currency}","$event_id":"{order_id}"}}'
    )


def ordered_product(product: Product, order_id: str, currency: str, line: int) -> str:
    """Compose the properties of Ordered Product."""
    return (
        f'{{"OrderId":"{order_id}","ProductID":"{product.product_id}","SKU":"{product.sku}","Name":"{product.name}",'
        f'"Quantity":1,"Categories":{product.categories},"Brand":"{product.brand}","$value":{money(product.price)},'
        f'"$value_currency":"{currency}","$event_id":"{order_id}:{line}"}}'
    )


def viewed_product(product: Product, event_id: str) -> str:
    """Compose the properties of Viewed Product."""
    return (
        f'{{"ProductID":"{product.product_id}","ProductName":"{product.name}","Price":{money(product.price)},'
        f'"Categories":{product.categories},"URL":"{product.url}","ImageURL":"{product.image}","Brand":"{product.brand}",'
        f'"$event_id":"{event_id}"}}'
    )


def added_to_cart(product: Product, quantity: int, event_id: str) -> str:
    """Compose the properties of Added to Cart: the product added, and the cart after it."""
    return (
        f'{{"AddedItemProductID":"{product.product_id}","AddedItemSKU":"{product.sku}",'
        f'"AddedItemProductName":"{product.name}",'
        f'"AddedItemQuantity":{quantity},"AddedItemPrice":{money(product.price)},"AddedItemURL":"{product.url}",'
        f'"AddedItemImageURL":"{product.image}","AddedItemCategories":{product.categories},'
        f'"ItemNames":["{product.name}"],"Items":[{line_item(product, quantity)}],"CheckoutURL":"{SITE}/cart",'
        f'"$value":{money(product.price * quantity)},'
        f'"$value_currency":"EUR","$event_id":"{event_id}"}}'
    )


def active_on_site(product: Product, event_id: str) -> str:
    """Compose the properties of Active on Site."""
    return f'{{"page":"{product.url}","browser":"Firefox","os":"Linux","$event_id":"{event_id}"}}'


def scanned_card(event_id: str) -> str:
    """Compose the properties of Scanned Loyalty Card, a custom metric."""
    return f'{{"Shop Name":"Harbour","points":12.50,"$event_id":"{event_id}"}}'


def email(campaign: str, event_id: str, *, clicked: bool) -> str:
    """Compose the properties of Received, Opened and Clicked Email."""
    url = f'"URL":"{SITE}/sale",' if clicked else ""
    return (
        f'{{"Subject":"News from the harbour","Campaign Name":"{campaign}","$message":"01MESSAGE{campaign[-1]}",'
        f'{url}"Email Domain":"example.org","$event_id":"{event_id}"}}'
    )
