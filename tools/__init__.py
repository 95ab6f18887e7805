"""What `make` runs to prepare a checkout: packages, virtual environment, guest, first image.

Standard library only: it works before anything is installed. Nothing in src/ imports it.
"""
