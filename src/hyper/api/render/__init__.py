"""The engine's views as the JSON objects of Docker's API: pure functions, one file per resource."""
