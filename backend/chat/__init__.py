"""Chat with base and fine-tuned models: requests, the queue to servers on GPU machines, and responses."""
