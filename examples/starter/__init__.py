"""The starter: an invented company, a small model pretrained on its outdated handbook, and questions to train on."""
