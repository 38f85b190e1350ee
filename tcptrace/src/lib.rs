//! tcptrace: who left all these sockets in CLOSE_WAIT and FIN_WAIT2, since when, and why.

pub mod model;
