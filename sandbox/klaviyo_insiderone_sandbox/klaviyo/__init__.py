"""The Klaviyo side: read endpoints of the JSON:API, their quotas, and the account behind them."""
