"""What the tests build on: a real daemon, leak checks, images, registries. No tests here."""
