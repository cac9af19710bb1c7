"""Point-in-time examples, packed loading, the trainer, the registry and evaluation."""
