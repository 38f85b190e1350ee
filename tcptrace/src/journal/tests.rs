//! Ground truth goes in, and comes back.
