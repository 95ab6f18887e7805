"""The `hyper` command line. Imports nothing here: start-up time is imports."""
