"""Each method wrapped as a Ray trainable: `base` does the work, one module per method says what the method is."""
