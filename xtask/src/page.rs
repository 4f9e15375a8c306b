//! The page: trunk builds it, we make of it what may be cached for ever.
//!
//! Trunk hashes its file names before wasm-bindgen and wasm-opt have run, so one name can come to
//! carry different bytes. With `immutable` caching and `integrity` that is a page some visitors
//! cannot load until they clear their cache. [`names`] therefore names each file anew by its final
//! bytes, [`check`] proves that nothing still uses an old name, and [`compress`] writes the `.br`
//! and `.gz` the server sends.

mod check;
mod compress;
mod files;
mod names;
mod references;
mod stamp;

use anyhow::{Context as _, Result};
use xshell::cmd;

use self::files::Files;
use crate::{
    tools::Tools,
    workspace::{Workspace, run_tool, step},
};

/// The one file whose name stays: it is what names the others, and is never cached.
const ENTRY: &str = "index.html";

/// Leaves the packaged page in `dist/`; at once if it is there and nothing that feeds it changed.
pub(crate) fn build(workspace: &Workspace, tools: &Tools) -> Result<()> {
    let dist = workspace.root.join("dist");
    let stamp = workspace.target.join("page.stamp");
    let inputs = stamp::inputs(&workspace.root, &tools.versions)?;
    if stamp::matches(&stamp, &inputs, &dist) {
        step("page: unchanged in dist/");
        return Ok(());
    }

    step("page: trunk build --release (some minutes the first time)");
    // Not into dist/: trunk would write every file of it anew, and what embeds them is compiled again
    // when a file is newer, whatever its bytes.
    let built = workspace.target.join("page");
    let trunk = cmd!(workspace.shell, "trunk build --release --dist {built}")
        .env("PATH", &tools.path)
        // Trunk takes the value for a boolean and refuses NO_COLOR=1, which is what people set.
        .env_remove("NO_COLOR")
        // Frames of trunk would push the compiler's message off the screen.
        .env_remove("RUST_BACKTRACE");
    run_tool(trunk)?;

    step("page: naming files by their content, compressing (seconds)");
    let page = package(&files::read(&built)?).context("the page cannot be packaged")?;
    files::write(&dist, &page)?;
    stamp::write(&stamp, &inputs, &dist)?;
    eprintln!("{}", compress::report(&page));
    Ok(())
}

/// What trunk wrote, as it is served: final names, references to match, compressed beside plain.
fn package(trunk: &Files) -> Result<Files> {
    let named = names::by_content(trunk)?;
    check::complete(&named)?;
    Ok(compress::beside(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packaging_what_is_packaged_changes_nothing() {
        let script = "a();\n".repeat(100).into_bytes();
        let html = "<script src=\"/app-1234567890abcdef.js\"></script>".repeat(9).into_bytes();
        let stale = ("app.css.br", b"of an older build".to_vec());
        let trunk = [("app-1234567890abcdef.js", script), (ENTRY, html), stale];
        let trunk = trunk.map(|(path, bytes)| (path.to_owned(), bytes)).into();
        let once = package(&trunk).unwrap();
        assert_eq!(once.len(), 6, "two files, each in three encodings: {:?}", once.keys());
        assert_eq!(package(&once).unwrap(), once);
    }
}
