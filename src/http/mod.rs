//! Floor 1: HTTP/1.1 as bytes. No sockets, no clock, no configuration.
