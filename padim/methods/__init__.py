"""The methods: one interface, a file each, and the mathematics they share."""
