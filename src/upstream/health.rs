//! Health judgement: pure data in, a verdict out. No clock, no sockets, no threads.
