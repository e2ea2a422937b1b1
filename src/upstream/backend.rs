//! One backend: its name, its address, its weight, what it is doing and how it is.
