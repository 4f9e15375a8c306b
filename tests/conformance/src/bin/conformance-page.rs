//! The page of `conformance-client`; what it does is in `conformance::page`.

#[cfg(all(conformance_protos, target_arch = "wasm32"))]
fn main() {
    conformance::page::start();
}

/// Natively there is no page.
#[cfg(not(all(conformance_protos, target_arch = "wasm32")))]
fn main() {
    eprintln!(
        "conformance-page is built for the browser: `cargo xtask conformance client` does it"
    );
}
