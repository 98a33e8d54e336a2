"""The anomaly detection methods: their interface, one module for each method, and shared mathematics."""
