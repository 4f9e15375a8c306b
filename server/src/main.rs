//! `runnel`: what it does is in the library, where a program of one's own can have it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    runnel::Product::runnel().main()
}
