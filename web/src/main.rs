//! The page of Runnel. Everything that touches the DOM is in this binary; everything else is in the library
//! of this package.

#[cfg(target_arch = "wasm32")]
mod app;
#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
mod components;
#[cfg(target_arch = "wasm32")]
mod feed;
#[cfg(target_arch = "wasm32")]
mod phase;
#[cfg(target_arch = "wasm32")]
mod stream_run;

#[cfg(target_arch = "wasm32")]
fn main() {
    browser::crash::install();
    app::mount();
}

/// Natively there is no page to show.
#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("runnel-web is built for the browser: `cargo xtask run` builds and serves it");
}
