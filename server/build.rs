//! Rebuilds the release binary when the packaged page changes: the embedding macro cannot see files
//! that appear or go away.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A debug build reads the page from disk; watching it would rebuild the server with the page.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=../dist");
    }
}
