"""The kinds of sinks, one file each; what they send and when is decided by the dispatcher."""
