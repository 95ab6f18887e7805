"""The benchmark: `make bench`. Measures whole commands as a user runs them, Hyper beside docker."""
