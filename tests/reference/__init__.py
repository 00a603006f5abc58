"""Plain NumPy versions of what the C++ core computes, written for reading."""
