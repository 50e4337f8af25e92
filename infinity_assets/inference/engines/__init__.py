"""What answers: the engines behind one interface (`engine.Engine`), and the pool that opens them."""
