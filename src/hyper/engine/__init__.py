"""The only package that knows what a pod is: life cycles, state, and the order of things.

It hands frozen dataclasses to the leaves (images, hypervisor, network, storage, agent) and is used
by `api` through `engine.Engine`. It does not speak HTTP, QMP, or frames.
"""
