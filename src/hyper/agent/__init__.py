"""The host's side of the host-guest protocol, and what processes in the guest may do."""
