"""Engines behind one interface (`engine.Engine`), and the pool that opens them."""
