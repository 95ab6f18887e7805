"""Pods' networks on the host: addresses, published ports, name resolution. Knows no pods, only
ids.
"""
