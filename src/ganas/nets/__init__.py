"""What a network is: ops, layouts, architectures, and one builder for supernets and final networks."""
