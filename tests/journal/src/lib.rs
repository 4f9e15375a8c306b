//! A service of somebody else's, as tonic generates it, for the tests and examples of `runnel-client`.

tonic::include_proto!("journal");
