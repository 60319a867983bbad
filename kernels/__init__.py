"""Reference Triton kernels and their launchers, imported as ``ladder.kernels``."""
