"""The loops that ask upstreams, and who of several gateways asks."""
