"""Image files and folders: decode safely, preprocess, read sources and data sets, group shots of one part."""
