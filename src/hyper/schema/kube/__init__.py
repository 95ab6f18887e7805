"""Kubernetes documents as data: reading, checking and writing them. Runs nothing."""
