"""The loops below the statistics, compiled by numba; the only folder that imports it.

The one law: a kernel's result depends on the values in their order alone, never on threads or memory layout.

Compiled code is cached on disk. Inner loops run over slices taken beforehand: indexing into a larger array lets numba
allow for negative indices, and then nothing is vectorized.
"""
