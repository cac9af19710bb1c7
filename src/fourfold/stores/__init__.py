"""Where state lies: transactional key-value stores, each passing one conformance suite."""
