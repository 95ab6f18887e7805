"""One file per resource: from a call to the engine and back. No state, no rules of their own."""
