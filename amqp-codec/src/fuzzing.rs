//! What must hold for any octets. Run by fuzzers and, over known inputs, by ordinary tests.
