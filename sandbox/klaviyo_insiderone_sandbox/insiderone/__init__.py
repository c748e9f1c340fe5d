"""The Insider One side: upsert, attribute deletion and profile reads, and the users behind them."""
