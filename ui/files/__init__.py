"""User files: uploads, folders on the server, labeled image sets, and the media served to the browser."""
