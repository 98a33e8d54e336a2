"""Files that users bring: uploads, folders, labelled sets, and media shown to them."""
