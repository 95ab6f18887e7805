"""Pure data every other package shares: errors, identifiers, units, specifications. No I/O."""
