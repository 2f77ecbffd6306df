"""DICOM objects: in, out, over the network, and as results."""
