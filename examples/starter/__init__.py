"""The starter: an invented company, a small model that learnt its outdated handbook, and chains to train on."""
